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
import uuid
from dataclasses import dataclass, field

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, Rejected, Unavailable
from generations.comfy.listener import Connected, Disconnected, Event, Listener
from generations.comfy.messages import (
    Executing,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
)
from generations.models import ComfyServer, Generation
from generations.models.generation import Failure, GenerationQuerySet
from generations.relay import apply
from generations.relay.broadcast import Broadcast
from generations.relay.submit import InputMissingError, StorageUnavailableError, build_graph, submit_upstream

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RECONCILE_SECONDS = 15.0
HISTORY_RETRY_SECONDS = 0.1
HISTORY_RETRIES = 50
INTERRUPT_AGAIN_SECONDS = 3.0
PAUSE_AFTER_FAULT_SECONDS = 2.0
CATALOG_SECONDS = 600.0


@dataclass(slots=True)
class _Look:
    """A history entry that should be there any moment."""

    at: float
    tries: int = 0


@dataclass(slots=True)
class _Timers:
    """When to do what, by time.monotonic()."""

    claim: float = 0.0
    reconcile: float = 0.0
    interrupt: dict[uuid.UUID, float] = field(default_factory=dict)


class ServerAgent:
    """Works for one server while its lease `token` holds. `start`, `wake` and `stop` from any thread."""

    def __init__(self, server: ComfyServer, *, token: int) -> None:
        self.server = server
        self.token = token
        self.slots = server.slots
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._looks: dict[str, _Look] = {}
        self._timers = _Timers()
        self._connected = False
        self._client_id = ""
        self._broadcast = Broadcast()
        self._client = ComfyClient(server.url, headers=server.headers)
        # A fresh id for every agent: the old one's socket may linger in the server and take ours with it.
        self._listener = Listener(server.url, uuid.uuid4().hex, headers=server.headers, fresh_client_id=True)
        self._threads = [
            threading.Thread(target=self._read, name=f"reader {server.name}", daemon=True),
            threading.Thread(target=self._act, name=f"agent {server.name}", daemon=True),
        ]

    def start(self) -> None:
        """Begin to listen and to work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There may be work or a wish to cancel: look now."""
        self._inbox.put(None)

    def stop(self) -> None:
        """Ask both threads to end. What runs upstream goes on, and is found again by the next agent."""
        self._stopping.set()
        self._listener.stop()
        self.wake()

    def join(self, timeout_seconds: float) -> None:
        """Wait for them."""
        for thread in self._threads:
            thread.join(timeout_seconds)
        self._client.close()

    @property
    def is_alive(self) -> bool:
        """False when a thread has died: the supervisor then starts another agent."""
        return all(thread.is_alive() for thread in self._threads)

    # ------------------------------------------------------------------------------------ reader
    def _read(self) -> None:
        for event in self._listener:
            match event:
                case Connected() | Disconnected() | ExecutionError() | ExecutionInterrupted() | ExecutionSuccess():
                    self._inbox.put(event)
                case ExecutionStart():
                    self._broadcast.hear(event)
                    self._inbox.put(event)
                case Executing() if event.is_end:
                    self._inbox.put(event)
                case _:
                    self._broadcast.hear(event)

    # ------------------------------------------------------------------------------------ actor
    def _act(self) -> None:
        try:
            while not self._stopping.is_set():
                event = self._next_event()
                try:
                    if event is not None:
                        self._handle(event)
                    self._work()
                except (DatabaseError, ComfyError) as error:
                    self._pause(error)
                except Exception as error:
                    logger.exception("The agent of %s met something unexpected", self.server)
                    self._pause(error)
                finally:
                    close_old_connections()
        finally:
            connections.close_all()

    def _next_event(self) -> Event | None:
        """The next life-cycle message; None when it is time to look around."""
        due = min((look.at for look in self._looks.values()), default=time.monotonic() + TICK_SECONDS)
        try:
            return self._inbox.get(timeout=max(0.0, min(TICK_SECONDS, due - time.monotonic())))
        except queue.Empty:
            return None

    def _pause(self, error: Exception) -> None:
        logger.warning("The agent of %s pauses: %s", self.server, error)
        self._timers.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        # Whatever message was being handled is not repeated: reconciling finds what it told.
        self._timers.reconcile = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        self._stopping.wait(0.2)

    def _handle(self, event: Event) -> None:
        match event:
            case Connected():
                self._on_connected(event)
            case Disconnected():
                self._connected = False
                ComfyServer.objects.saw_unreachable(self.server.pk, message=event.reason)
            case ExecutionStart():
                if (prompt_id := _uuid(event.prompt_id)) is not None:
                    apply.started(prompt_id)
            case Executing() if event.prompt_id:
                # Only now is the history entry written: it is missing at execution_success (main.py).
                self._look_up(event.prompt_id)
            case ExecutionError() if not event.is_execution_blocked:
                self._look_later(event.prompt_id)
            case ExecutionInterrupted() | ExecutionSuccess():
                self._look_later(event.prompt_id)

    def _on_connected(self, event: Connected) -> None:
        self._client_id = event.client_id
        stats = self._client.system_stats()
        ComfyServer.objects.saw_online(self.server.pk, version=stats.version)
        self._connected = True
        self._timers.claim = 0.0
        self._timers.reconcile = 0.0
        fetched = self.server.object_info_at
        if fetched is None or (timezone.now() - fetched).total_seconds() > CATALOG_SECONDS:
            threading.Thread(target=self._fetch_catalog, name=f"catalog {self.server.name}", daemon=True).start()

    def _fetch_catalog(self) -> None:
        """The server's node classes: megabytes and seconds on a real server, so in a thread of its own."""
        try:
            with ComfyClient(self.server.url, headers=self.server.headers) as client:
                object_info = client.object_info()
            self.server.object_info_at = timezone.now()
            ComfyServer.objects.saw_nodes(self.server.pk, object_info=object_info)
        except (ComfyError, DatabaseError) as error:
            logger.warning("The node classes of %s could not be read: %s", self.server, error)
        finally:
            connections.close_all()

    def _work(self) -> None:
        """What is due: histories, cancellations, reconciling, new work."""
        now = time.monotonic()
        for prompt_id in [key for key, look in self._looks.items() if look.at <= now]:
            self._look_up(prompt_id)
        if not self._connected:
            return
        self._stop_canceled()
        if now >= self._timers.reconcile:
            self._reconcile()
        while now >= self._timers.claim and not self._stopping.is_set() and self._claim():
            now = time.monotonic()

    # ------------------------------------------------------------------------------------ new work
    def _claim(self) -> bool:
        """Take one generation and submit it; False when there is no free slot or nothing to do."""
        if Generation.objects.upstream_on(self.server.pk).count() >= self.slots:
            return False
        generation = Generation.objects.claim_next(self.server, token=self.token)
        if generation is None:
            return False
        try:
            self._submit(generation)
        except Unavailable as error:
            self._on_unavailable(generation, error)
            return False
        except StorageUnavailableError as error:
            self._give_back(generation)
            logger.warning("Generation %s waits: %s", generation.pk, error)
            return False
        except Rejected as error:
            apply.failed(generation, apply.rejection_failure(generation, error))
        except InputMissingError as error:
            apply.failed(generation, Failure("input_missing", str(error)))
        except DatabaseError:
            raise  # whether it was submitted is found out by reconciling
        except Exception:
            logger.exception("Generation %s cannot be submitted", generation.pk)
            apply.failed(generation, Failure("internal_error", "It could not be prepared. Please tell the operator."))
        return True

    def _submit(self, generation: Generation) -> None:
        graph = build_graph(generation, self._client)
        self._broadcast.follow(generation, graph)
        actual = submit_upstream(generation, graph, self._client, client_id=self._client_id)
        if actual != generation.prompt_id:
            Generation.objects.adopt_prompt_id(generation.prompt_id, actual=actual)
            self._broadcast.forget(str(generation.prompt_id))
            generation.prompt_id = actual
            self._broadcast.follow(generation, graph)
        apply.submitted(generation)

    def _on_unavailable(self, generation: Generation, error: Unavailable) -> None:
        """Certainly not submitted: back into the queue. Perhaps submitted: find out before doing anything."""
        if error.is_ambiguous:
            logger.warning("Whether %s has generation %s is not known yet: %s", self.server, generation.pk, error)
            self._timers.claim = self._timers.reconcile = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        else:
            ComfyServer.objects.saw_unreachable(self.server.pk, message=str(error))
            self._give_back(generation)

    def _give_back(self, generation: Generation) -> None:
        """Into the queue as it was; the next try comes after a pause."""
        self._broadcast.forget(str(generation.prompt_id))
        apply.released(generation)
        self._timers.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS

    # ------------------------------------------------------------------------------------ ends
    def _look_later(self, prompt_id: str) -> None:
        self._looks.setdefault(prompt_id, _Look(at=time.monotonic() + HISTORY_RETRY_SECONDS))

    def _look_up(self, prompt_id: str) -> None:
        """Collect a prompt that should have ended. Not in the history yet: look again, then leave it to reconcile."""
        generation = self._mine(prompt_id)
        if generation is None or self._collect(generation):
            self._looks.pop(prompt_id, None)
            return
        look = self._looks.setdefault(prompt_id, _Look(at=0.0))
        look.tries += 1
        look.at = time.monotonic() + HISTORY_RETRY_SECONDS
        if look.tries > HISTORY_RETRIES:
            del self._looks[prompt_id]
            self._timers.reconcile = 0.0

    def _mine(self, prompt_id: str) -> Generation | None:
        key = _uuid(prompt_id)
        return self._upstream().filter(prompt_id=key).first() if key else None

    def _upstream(self) -> GenerationQuerySet:
        """What this server has, as far as we know, loaded with what applying an end reads."""
        return Generation.objects.upstream_on(self.server.pk).select_related("version__template", "server")

    def _collect(self, generation: Generation) -> bool:
        """True when ComfyUI's history has it; then it is stored, failed or canceled."""
        entry = self._client.history(str(generation.prompt_id))
        if entry is None:
            return False
        apply.ended(generation, entry)
        self._forget(generation)
        return True

    def _forget(self, generation: Generation) -> None:
        self._broadcast.forget(str(generation.prompt_id))
        self._timers.interrupt.pop(generation.prompt_id, None)

    # ------------------------------------------------------------------------------------ reconcile
    def _reconcile(self) -> None:
        """Compare what we believe with what the server knows, and apply what was missed."""
        self._timers.reconcile = time.monotonic() + RECONCILE_SECONDS
        unfinished = [row for row in self._upstream() if not self._collect(row)]
        if not unfinished:
            return
        state = self._client.queue()
        running = {item.prompt_id for item in state.running}
        for row in unfinished:
            prompt_id = str(row.prompt_id)
            if prompt_id in state.prompt_ids:
                self._broadcast.follow(row, row.version.graph)
                if prompt_id in running:
                    apply.started(row.prompt_id)
            # It may have ended between the two questions.
            elif not self._collect(row):
                apply.lost(row)
                self._forget(row)

    # ------------------------------------------------------------------------------------ cancel
    def _stop_canceled(self) -> None:
        for row in self._upstream().filter(cancel_requested_at__isnull=False):
            if time.monotonic() >= self._timers.interrupt.get(row.prompt_id, 0.0):
                self._stop_upstream(row)

    def _stop_upstream(self, generation: Generation) -> None:
        """Take it out of the queue, or interrupt it if it is the one that runs; never anybody else's."""
        prompt_id = str(generation.prompt_id)
        self._client.delete_queued(prompt_id)
        state = self._client.queue()
        if prompt_id in {item.prompt_id for item in state.running}:
            self._client.interrupt(prompt_id)
            # An interrupt between two nodes can get lost: repeat it while it runs on.
            self._timers.interrupt[generation.prompt_id] = time.monotonic() + INTERRUPT_AGAIN_SECONDS
        elif prompt_id not in state.prompt_ids:
            apply.canceled(generation.prompt_id)
            self._forget(generation)


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
