"""How the words travel: TLS 1.3, frames, keepalive."""
