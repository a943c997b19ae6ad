"""The operating system, wrapped once."""
