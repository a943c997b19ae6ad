"""The remote's screen, on the admin's machine: the share, the viewer, and the socket between them."""
