"""The card that the remote's programs see: no privilege, no network but port 4117, no account."""
