"""Every module with targets; importing this registers all of them."""

from __future__ import annotations

from fuzz import certificates, licenses, network, piv, screens, settings, sockets, wire

ROOMS = (certificates, licenses, network, piv, screens, settings, sockets, wire)
