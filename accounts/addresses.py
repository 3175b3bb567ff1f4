"""Where a request comes from, behind a proxy or not."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str:
    """Where a request comes from (see `address_in`)."""
    return address_in(request.headers.get("X-Forwarded-For", ""), request.META.get("REMOTE_ADDR") or "")


def address_of_scope(scope: Mapping[str, Any]) -> str:
    """Where an ASGI connection comes from."""
    forwarded_for = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    return address_in(forwarded_for.decode("latin-1"), (scope.get("client") or [""])[0] or "")


def address_in(forwarded_for: str, peer: str) -> str:
    """The address that counts: the one that our proxy saw, if there is a proxy; of IPv6, the network.

    The client may have written everything further left in X-Forwarded-For.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",")]
    proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    seen = hops[-proxies] if proxies and len(hops) >= proxies and hops[-proxies] else peer
    try:
        address = ipaddress.ip_address(seen.strip("[]").partition("%")[0])
    except ValueError:
        return seen[:64]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        # A household has a /64, and any address in it.
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
