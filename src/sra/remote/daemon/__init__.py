"""srad: holds the authenticated connections."""
