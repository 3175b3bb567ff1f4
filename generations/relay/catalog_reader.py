"""Reading what a server can run: megabytes and seconds on a real one, so mostly in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, connections

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError
from generations.database import keep
from generations.models import ComfyServer
from generations.relay import timing
from generations.relay.session import Session

logger = logging.getLogger(__name__)


class CatalogReader:
    """Reads the node classes of one server, one reading in the background at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._thread: threading.Thread | None = None

    def read_when_due(self) -> None:
        """Start to read them in the background, unless that is going on or not due yet."""
        is_reading = self._thread is not None and self._thread.is_alive()
        if is_reading or time.monotonic() < self._session.timers.catalog:
            return
        self._session.timers.catalog = time.monotonic() + timing.CATALOG_SECONDS
        name = f"catalog {self._session.server.name}"
        self._thread = threading.Thread(target=self._read_in_background, name=name, daemon=True)
        self._thread.start()

    def _read_in_background(self) -> None:
        keep()
        try:
            self.read()
        finally:
            connections.close_all()

    def read(self) -> bool:
        """Read and store the server's node classes, in any thread. False when that failed: it is tried again soon.

        The next claim sees the new digest, here and in every other process.
        """
        server = self._session.server
        try:
            with ComfyClient(server.url, headers=server.headers) as client:
                object_info = client.object_info()
            # Somebody may have entered another address meanwhile: then another agent reads what is there.
            ComfyServer.objects.filter(url=server.url).saw_nodes(server.pk, object_info=object_info)
            self._session.wake()
        except Exception as error:  # also an unforeseen one: without a catalog, the server gets no work
            is_expected = isinstance(error, ComfyError | DatabaseError)
            logger.warning("The node classes of %s could not be read: %s", server, error, exc_info=not is_expected)
            self._session.timers.catalog = time.monotonic() + timing.CATALOG_RETRY_SECONDS
            return False
        return True
