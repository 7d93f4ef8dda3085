"""What several tests share: harnesses, builders, reference implementations."""
