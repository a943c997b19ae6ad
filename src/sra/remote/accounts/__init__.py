"""Which account of this machine a card opens."""
