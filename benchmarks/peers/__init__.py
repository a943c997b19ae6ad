"""The other ways to use a card from afar."""
