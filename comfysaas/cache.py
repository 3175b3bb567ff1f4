"""How values are kept in Redis: as JSON, over connections that stay.

Pickle would let whoever can write there run code here.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.utils.functional import Promise
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_ALLAUTH = ("allauth", "jwt:")


class SharedRedisCache(RedisCache):
    """Django's, with one pool of connections for the process, which threads may share.

    Django gives each request a cache of its own, and each of those would connect anew.
    """

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """As Django's. django-allauth's own counters let everything through while Redis is away, as ours do."""
        with _forgiving(key) as found:
            found.append(super().get(key, default, version))
        return found[0] if found else default

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """See `get`."""
        with _forgiving(key) as found:
            found.append(super().add(key, value, timeout, version))
        return bool(found[0]) if found else True

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """See `get`."""
        with _forgiving(key):
            super().set(key, value, timeout, version)

    def delete(self, key: str, version: int | None = None) -> bool:
        """See `get`."""
        with _forgiving(key) as found:
            found.append(super().delete(key, version))
        return bool(found[0]) if found else False

    @cached_property
    def _cache(self) -> RedisCacheClient:
        known: Any = self  # the stubs leave out what Django's constructor sets
        return _client(tuple(known._servers), tuple(sorted(known._options.items())))


@contextmanager
def _forgiving(key: str) -> Iterator[list[Any]]:
    """A place for the answer, which stays empty when Redis does not answer and the key is one of django-allauth's.

    Nobody could sign in otherwise. Our own code decides for itself what a cache means that is away.
    """
    found: list[Any] = []
    try:
        yield found
    except RedisError:
        if not key.startswith(_ALLAUTH):
            raise
        logger.warning("Attempts to sign in are not counted: Redis does not answer", exc_info=True)


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
