"""Fuzzing: every parser that takes bytes of others, each with what it may answer (``python -m fuzz --help``)."""
