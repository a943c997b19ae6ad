"""What ``sra doctor`` looks at on a remote."""
