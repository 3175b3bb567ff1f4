"""One ComfyUI server's agent: two threads. One reads the socket and does nothing else; one acts.

The reader hands progress straight to the broadcast (memory only) and life-cycle messages to a queue, so that a slow
database, Redis or storage never reaches the socket: a client that stops reading freezes the events of every client
of that ComfyUI.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress

from django.db import DatabaseError, close_old_connections, connections

from generations.comfy.errors import ComfyError
from generations.comfy.listener import Connected, Disconnected, Event
from generations.comfy.messages import (
    Executing,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
)
from generations.database import keep, release
from generations.models import ComfyServer
from generations.models.server import ServerState
from generations.relay import stopping, timing
from generations.relay.catalog_reader import CatalogReader
from generations.relay.claiming import Claimer
from generations.relay.collecting import Collector
from generations.relay.connection import State
from generations.relay.finishing import Pool
from generations.relay.reconciling import Reconciler
from generations.relay.session import Finished, Session
from generations.relay.submit import StorageUnavailableError

logger = logging.getLogger(__name__)


class ServerAgent:
    """Works for one server while its lease `token` holds, and stores small results in a `pool` that agents share.

    `start`, `wake`, `update` and `stop` from any thread.
    """

    def __init__(self, server: ComfyServer, *, token: int, pool: Pool) -> None:
        self._session = Session(server, token=token)
        self._catalog_reader = CatalogReader(self._session)
        self._claimer = Claimer(self._session, self._catalog_reader)
        self._collector = Collector(self._session, pool)
        self._reconciler = Reconciler(self._session, self._collector)
        self._threads = [
            threading.Thread(target=self._read, name=f"reader {server.name}", daemon=True),
            threading.Thread(target=self._act, name=f"agent {server.name}", daemon=True),
        ]

    @property
    def server(self) -> ComfyServer:
        """The row as the agent knows it."""
        return self._session.server

    @property
    def token(self) -> int:
        """The fencing token of the lease that the agent works under."""
        return self._session.token

    def start(self) -> None:
        """Begin to listen and to work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be work or a wish to cancel: look now."""
        self._session.wake()

    def update(self, server: ComfyServer) -> None:
        """Somebody may have changed its slots, or switched it off, or drains it."""
        self._session.server = server

    def stop(self) -> None:
        """Ask both threads to end. What runs upstream goes on, and is found again by the next agent."""
        self._session.stopping.set()
        self._session.listener.stop()
        self.wake()

    def join(self, timeout_seconds: float) -> None:
        """Wait for them."""
        for thread in self._threads:
            thread.join(timeout_seconds)
        self._session.client.close()

    @property
    def is_alive(self) -> bool:
        """False when a thread has died: the supervisor then starts another agent."""
        return all(thread.is_alive() for thread in self._threads)

    # ------------------------------------------------------------------------------------ reading
    def _read(self) -> None:
        session = self._session
        for event in session.listener:
            if not isinstance(event, Connected | Disconnected):
                session.health.heard(getattr(event, "prompt_id", None))
            if session.frames.hear(event):
                continue
            match event:
                case Connected() | Disconnected() | ExecutionError() | ExecutionInterrupted() | ExecutionSuccess():
                    session.inbox.put(event)
                case ExecutionStart():
                    session.broadcast.hear(event)
                    session.inbox.put(event)
                case Executing() if event.is_end:
                    session.inbox.put(event)
                case _:
                    session.broadcast.hear(event)

    # ------------------------------------------------------------------------------------ acting
    def _act(self) -> None:
        keep()
        try:
            while not self._session.stopping.is_set():
                event = self._next_event()
                close_old_connections()  # those that broke meanwhile
                try:
                    if event is not None:
                        self._handle(event)
                    self._work()
                except (DatabaseError, ComfyError, StorageUnavailableError) as error:
                    self._pause(error)
                except Exception as error:
                    logger.exception("The agent of %s met something unexpected", self.server)
                    self._pause(error)
            self._collector.finisher.wait()
            with suppress(DatabaseError):
                self._session.forget_histories()  # later ones stay: should the database crash now, they are needed
        finally:
            connections.close_all()

    def _next_event(self) -> Event | Finished | None:
        """The next life-cycle message; None when it is time to look around."""
        release()  # while it waits, unless the connection is its own
        seconds = max(0.0, min(timing.TICK_SECONDS, self._session.prompts.seconds_until_due()))
        try:
            event = self._session.inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        if event is None:
            self._session.woken()
        return event

    def _pause(self, error: Exception) -> None:
        logger.warning("The agent of %s pauses: %s", self.server, error)
        # Whatever message was being handled is not repeated: reconciling finds what it said.
        timers = self._session.timers
        timers.claim = timers.reconcile = time.monotonic() + timing.PAUSE_AFTER_FAULT_SECONDS
        close_old_connections()
        self._session.stopping.wait(0.2)

    def _handle(self, event: Event | Finished) -> None:
        session = self._session
        match event:
            case Connected():
                session.connection.opened(event.client_id)
                session.health.connected()
                session.timers.look_around = 0.0
            case Disconnected():
                session.connection.closed()
                ComfyServer.objects.saw_unreachable(self.server.pk, message=event.reason)
            case ExecutionStart():
                session.started(event.prompt_id)
            case Finished():
                self._collector.finished(event)
            case Executing() if event.prompt_id:
                # Only now is the history entry written: it is missing at execution_success (main.py).
                session.prompts.look_now(event.prompt_id)
            case ExecutionError() if not event.is_execution_blocked:
                session.prompts.look_soon(event.prompt_id)
            case ExecutionInterrupted() | ExecutionSuccess():
                session.prompts.look_soon(event.prompt_id)

    def _work(self) -> None:
        """What is due: histories, stopping, reconciling, new work."""
        now = time.monotonic()
        self._collector.look_at_due()
        self._collector.finisher.look()
        self._session.write_starts()
        if now >= self._session.timers.look_around:
            self._session.timers.look_around = now + timing.TICK_SECONDS
            self._look_around()
        if self._session.connection.is_answering and now >= self._session.timers.reconcile:
            self._reconciler.reconcile()
        self._claimer.claim_all()

    def _look_around(self) -> None:
        """Once a second, and when woken."""
        session = self._session
        session.forget_histories()
        if session.connection.state is State.OPEN:
            try:
                self._meet()
            except ComfyError as error:  # sockets pass where nothing else does, through a proxy for example
                ComfyServer.objects.saw_unreachable(self.server.pk, message=str(error))
        if not session.connection.is_answering:
            stopping.move_away(session)
            return
        if session.health.is_deaf():
            session.reconnect(f"{self.server} says nothing on this connection any more.")
        stopping.stop_unwanted(session)
        self._catalog_reader.read_when_due()

    def _meet(self) -> None:
        """The socket is open: ask the server what it can do, and begin."""
        session = self._session
        session.upstream.meet()
        known = ComfyServer.objects.filter(pk=self.server.pk)
        # Stuck before, and still at it: another socket does not help, only a restart of the server.
        was_stuck = session.connection.was_stuck or known.filter(state=ServerState.STUCK).exists()
        is_stuck = was_stuck and bool(session.client.queue().running)
        if is_stuck:
            ComfyServer.objects.saw_stuck(self.server.pk, message="It does not run what it is given. Restart it.")
        else:
            session.saw_online()
        session.connection.answered(is_stuck=is_stuck)
        # It may have come back with other nodes and models: what it said before counts until it is read again.
        timers = session.timers
        timers.claim = timers.idle = timers.line = timers.reconcile = timers.catalog = 0.0
