"""What will stop delivery soon: tokens, permissions, API versions."""
