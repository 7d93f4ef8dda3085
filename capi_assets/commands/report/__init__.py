"""`capi-assets report`: an HTML report on a range of hours, for colleagues."""
