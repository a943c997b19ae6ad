"""What the machines say to each other. No I/O."""
