"""How values are kept in Redis: as JSON, over connections that stay.

Pickle would let whoever can write there run code here.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cached_property, lru_cache
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.utils.functional import Promise


class SharedRedisCache(RedisCache):
    """Django's, with one pool of connections for the process, which threads may share.

    Django gives each request a cache of its own, and each of those would connect anew.
    """

    @cached_property
    def _cache(self) -> RedisCacheClient:
        known: Any = self  # the stubs leave out what Django's constructor sets
        return _client(tuple(known._servers), tuple(sorted(known._options.items())))


@lru_cache
def _client(servers: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> RedisCacheClient:
    return RedisCacheClient(list(servers), **dict(options))


class JsonSerializer:
    """For Django's RedisCache. Whole numbers are written as Redis counts them.

    What JSON cannot give back as it was is refused, except for the dataclasses and lazy texts that the admin's search
    caches: they return as dicts and texts, which templates read alike.
    """

    def dumps(self, value: Any) -> str:
        """TypeError for what JSON cannot express."""
        return json.dumps(value, default=_plain)

    def loads(self, data: bytes) -> Any:
        """ValueError for what is no JSON."""
        return json.loads(data)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Promise):
        return str(value)
    msg = f"A {type(value).__name__} cannot be cached: it is no JSON"
    raise TypeError(msg)
