"""The screen of this machine, shared through a VNC server whose password works once."""
