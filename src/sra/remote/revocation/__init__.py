"""What authorities say about revocation: read from files, fetched, kept, and renewed before it is stale."""
