"""Ours against the peers, in one run, through a delay proxy."""
