"""Where a request comes from, with proxies that write it down and without."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory

from accounts import addresses


@pytest.mark.parametrize(
    ("proxies", "forwarded_for", "peer", "counted"),
    [
        (0, "", "192.0.2.1", "192.0.2.1"),
        (0, "198.51.100.7", "192.0.2.1", "192.0.2.1"),
        (1, "198.51.100.7", "10.0.0.1", "198.51.100.7"),
        (1, "203.0.113.9, 198.51.100.7", "10.0.0.1", "198.51.100.7"),  # the first one is the client's invention
        (2, "203.0.113.9, 198.51.100.7", "10.0.0.1", "203.0.113.9"),
        (2, "198.51.100.7", "10.0.0.1", "10.0.0.1"),
        (1, "", "10.0.0.1", "10.0.0.1"),
        (1, "nonsense", "10.0.0.1", "nonsense"),
        (0, "", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (0, "", "::ffff:192.0.2.1", "192.0.2.1"),
        (0, "", "", ""),
    ],
)
def test_the_address_that_counts(proxies: int, forwarded_for: str, peer: str, counted: str, settings: Any) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    headers = {"X-Forwarded-For": forwarded_for} if forwarded_for else {}
    assert addresses.address_of(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)) == counted
    raw = [(b"x-forwarded-for", forwarded_for.encode())] if forwarded_for else []
    assert addresses.address_of_scope({"headers": raw, "client": [peer, 1] if peer else None}) == counted
