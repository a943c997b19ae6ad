"""Sharing an X display: the console's, or a virtual one."""
