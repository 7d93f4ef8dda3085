"""`capi-assets report`: what became of some hours, as one page."""
