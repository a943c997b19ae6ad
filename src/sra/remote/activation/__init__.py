"""Make this machine a remote, and take all of that back: each step is recorded before it is done."""
