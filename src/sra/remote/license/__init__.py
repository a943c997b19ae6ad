"""The license of a remote: what it says, who vouches for it, and whether it holds here and now."""
