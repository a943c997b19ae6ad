"""Who is who: certificates and challenges. No sockets."""
