"""Cards in files, for trials and tests."""
