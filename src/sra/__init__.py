"""Secure Remote Access: use the PIV card in your hand on a machine anywhere."""

__version__ = "0.1.0"
