"""Match keys (Meta: customer information parameters): normalised, checked and hashed, by column."""
