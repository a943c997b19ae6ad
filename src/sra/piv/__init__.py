"""What a card says: the PIV data model and command set (SP 800-73-4, SP 800-78-5). No I/O."""
