"""Health checks for load balancers and orchestrators."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse

logger = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database and the cache answer, else 503 with the names of those that do not."""
    checks = {"database": _database_answers, "cache": _cache_answers}
    failed = [name for name, check in checks.items() if not _passes(name, check)]
    status = 503 if failed else 200
    return JsonResponse({"status": "unavailable" if failed else "ok", "failed": failed}, status=status)


def _passes(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except Exception:
        logger.exception("Not ready: the %s does not answer", name)
        return False
    return True


def _database_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _cache_answers() -> None:
    cache.set("readyz", 1, 10)
