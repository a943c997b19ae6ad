"""Cards behind a PKCS#11 module."""
