"""The asset `meta_access`: token, permission and API version, checked daily."""
