"""`capi-assets init`: the files of a folder of one's own, from `files/` and from the settings."""
