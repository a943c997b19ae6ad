"""PIV cards in readers, by PC/SC."""
