"""The ways to a card on the admin's machine. A backend knows cards, never the network."""
