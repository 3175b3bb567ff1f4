"""The path of the site, when PUBLIC_URL has one."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

Scope = MutableMapping[str, Any]


def below_root(path: str) -> str:
    """The path without the site's own, such as "/api/v2/jobs"."""
    return "/" + path.removeprefix(settings.ROOT_PATH).lstrip("/")


class Mounted:
    """ASGI: completes paths, for proxies that remove the site's path and for those that do not.

    Health checks, which do not come through the proxy, need not know the site's path.
    """

    def __init__(self, application: Any, root: str) -> None:
        """`root`: "/", or a path such as "/studio/"."""
        self._application = application
        self._root = root

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one connection."""
        if scope["type"] in {"http", "websocket"}:
            scope = {**scope, "root_path": "", "path": self._complete(scope["path"])}
        await self._application(scope, receive, send)

    def _complete(self, path: str) -> str:
        is_complete = path.startswith(self._root) or path == self._root.rstrip("/")
        return path if is_complete else self._root + path.lstrip("/")
