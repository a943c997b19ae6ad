"""The ways to a card, on either machine."""
