"""Every yes and no: what a remote may have the card do, and what the person is asked."""
