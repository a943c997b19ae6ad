"""The machine that borrows the card."""
