"""Which addresses of the network a node may send requests to: those of others, not those of its own surroundings."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
UNICAST = ipaddress.ip_network("2000::/3")
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def may_ask(address: Address, may_be_private: bool) -> bool:
    """Whether an address may be connected to; one that carries an IPv4 address is judged as that one."""
    meant = _carried(address) or address
    if meant.is_unspecified or meant.is_multicast or meant.is_link_local:
        return False
    if may_be_private:
        return True
    if isinstance(meant, ipaddress.IPv4Address):
        return meant.is_global and not meant.is_reserved
    return meant in UNICAST and meant.is_global and meant.sixtofour is None and meant.teredo is None


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address is another form of: mapped, or translated (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    return address.ipv4_mapped or (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in TRANSLATED else None)
