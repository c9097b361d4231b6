"""Which network addresses a webhook must not reach: pure."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def why_refused(text: str) -> str:
    """What the address is that keeps notices from it, as "a loopback address"; empty for a public one."""
    try:
        address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return "no address"
    # In this order: a loopback address, for one, counts as private too.
    kinds = (
        ("is_unspecified", "the unspecified address"),
        ("is_loopback", "a loopback address"),
        ("is_link_local", "a link-local address"),
        ("is_multicast", "a multicast address"),
        ("is_private", "a private address"),
    )
    for attribute, words in kinds:
        if getattr(address, attribute):
            return words
    return "" if address.is_global else "not a public address"


def _innermost(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that is packed into one of IPv6: it is where the connection ends."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def literal(host: str) -> str:
    """The host when it is an address written out, in whatever way a resolver would take it; empty for a name."""
    if ":" in host:
        return host
    parts = host.rstrip(".").split(".")
    try:
        numbers = [
            int(part, 16 if part[:2].lower() == "0x" else 8 if part[:1] == "0" and part != "0" else 10)
            for part in parts
        ]
    except ValueError:
        return ""
    *first, last = numbers
    if len(numbers) > 4 or any(not 0 <= number < 256 for number in first) or not 0 <= last < 256 ** (5 - len(numbers)):
        return ""
    return str(ipaddress.IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(first)) + last))
