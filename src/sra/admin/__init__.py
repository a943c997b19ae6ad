"""The machine that has the card."""
