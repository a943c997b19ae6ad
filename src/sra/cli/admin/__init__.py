"""The commands of the machine that has the card."""
