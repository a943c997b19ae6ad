"""The commands of the machine that borrows it."""
