"""Let this machine's own logins know the cards that srad knows: PAM stacks, pam_pkcs11 and SSSD."""
