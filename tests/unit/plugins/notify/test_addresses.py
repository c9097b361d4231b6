"""Where a webhook must not go, in all the ways an address may be written."""

from __future__ import annotations

import pytest

from plugins.notify.addresses import literal, why_refused


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "loopback"), ("127.9.9.9", "loopback"), ("::1", "loopback"), ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"), ("2002:7f00:1::", "loopback"), ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"), ("::ffff:169.254.169.254", "link-local"), ("10.1.2.3", "private"),
        ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("fd00::1", "private"), ("100.64.0.1", "not a public"),
        ("::", "unspecified"), ("0.0.0.0", "unspecified"),  # noqa: S104 - refused
        ("224.0.0.1", "multicast"), ("ff02::1", "multicast"),
        ("255.255.255.255", "private"), ("no address", "no address"),
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_for_what_it_is(address: str, why: str) -> None:
    assert why in why_refused(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_not_refused(address: str) -> None:
    assert why_refused(address) == ""


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "127.0.1", "127.0.0.1."]
)
def test_a_number_is_the_address_that_a_resolver_would_take_it_for(host: str) -> None:
    assert literal(host) == "127.0.0.1"


@pytest.mark.parametrize("host", ["example.com", "1.example", "256.1.1.1", "1.2.3.4.5", "0x", "localhost", ""])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) == ""
