"""One process each: how it starts, and how it ends."""
