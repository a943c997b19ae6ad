"""Sharing a wlroots session, by wayvnc."""
