"""One ComfyUI server's agent: two threads. One reads the socket and does nothing else; one acts.

The reader hands progress straight to the broadcast (memory only) and life-cycle messages to a queue, so that a slow
database, Redis or storage never reaches the socket: a client that stops reading freezes the events of every client
of that ComfyUI.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import DatabaseError, close_old_connections, connections
from django.utils import timezone

from generations.comfy.client import ComfyClient
from generations.comfy.errors import ComfyError, Rejected, Unavailable, is_silent
from generations.comfy.listener import Connected, Disconnected, Event, Listener
from generations.comfy.messages import (
    Executing,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
)
from generations.comfy.outputs import is_unfinished
from generations.comfy.state import HistoryEntry, QueueState
from generations.models import ComfyServer, Generation
from generations.models.generation import Failure, GenerationQuerySet, Retry
from generations.models.server import ServerState
from generations.origins import Mark
from generations.relay import apply, frames
from generations.relay.broadcast import Broadcast
from generations.relay.health import Health
from generations.relay.submit import InputMissingError, StorageUnavailableError, build_graph, submit_upstream
from generations.relay.upstream import Sighting, Upstream
from generations.scheduling import fitness
from generations.scheduling import queue as fair_queue
from generations.scheduling.queue import Memory

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RECONCILE_SECONDS = 15.0
POLL_SECONDS = 1.0  # while there are prompts that this socket cannot hear
HISTORY_RETRY_SECONDS = 0.1
HISTORY_RETRIES = 50
STOP_AGAIN_SECONDS = 3.0
PAUSE_AFTER_FAULT_SECONDS = 2.0
CATALOG_SECONDS = 600.0
UNREACHABLE_SECONDS = 30.0
WITHDRAW_SECONDS = 5.0  # the same for a server that was switched off
CATALOG_RETRY_SECONDS = 5.0
FRAMES_MISSED = (
    "Its pictures travel only over the connection to ComfyUI, and that broke each time. Run it again, or have its "
    "template save them as files."
)
FRAMES_TOO_LARGE = Failure(
    "too_large",
    f"It sent more than {frames.MAX_BYTES // 2**20} MB over the connection. Make fewer pictures at a time.",
)
MISSING_THINGS = {
    "missing_node_type", "invalid_prompt", "value_not_in_list", "required_input_missing", "value_smaller_than_min",
    "value_bigger_than_max",
}  # fmt: skip


@dataclass(slots=True)
class _Look:
    """A history entry that should be there any moment."""

    at: float
    tries: int = 0
    size_bytes: int = 0  # of the pictures that had come over the socket by then


@dataclass(slots=True)
class _Held:
    """A prompt that this server has of ours. `client_id` is that of the socket which hears it; "" if none does."""

    pk: uuid.UUID
    client_id: str
    time_limit: float
    stop_at: float = float("inf")  # time.monotonic() when its time is up
    stopped_at: float = float("-inf")  # when it was last asked to stop

    @property
    def was_stopped(self) -> bool:
        """True when we asked the server to stop it."""
        return self.stopped_at > float("-inf")


@dataclass(slots=True)
class _Timers:
    """When to do what, by time.monotonic()."""

    claim: float = 0.0  # not before, after a fault
    idle: float = 0.0  # nothing was in line; no need to look before, unless woken
    reconcile: float = 0.0
    look_around: float = 0.0
    catalog: float = 0.0
    disconnected: float = field(default_factory=time.monotonic)  # since when


class ServerAgent:
    """Works for one server while its lease `token` holds. `start`, `wake`, `update` and `stop` from any thread."""

    def __init__(self, server: ComfyServer, *, token: int) -> None:
        self.server = server
        self.token = token
        self._stopping = threading.Event()
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._held: dict[str, _Held] = {}
        self._looks: dict[str, _Look] = {}
        self._timers = _Timers()
        self._memory = Memory()
        self._catalog_reader: threading.Thread | None = None
        self._has_socket = False
        self._connected = False  # has a socket, and answered
        self._is_wedged = False
        self._client_id = ""
        self._broadcast = Broadcast()
        self._frames = frames.Frames()
        self._health = Health()
        self._client = ComfyClient(server.url, headers=server.headers)
        self._upstream = Upstream(self._client)
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

    def update(self, server: ComfyServer) -> None:
        """Somebody may have changed its slots, or switched it off, or drains it."""
        self.server = server

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
            if not isinstance(event, Connected | Disconnected):
                self._health.heard(getattr(event, "prompt_id", None))
            if self._frames.hear(event):
                continue
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
                if event is None:
                    close_old_connections()  # when there is time; a connection that failed is closed by _pause
                try:
                    if event is not None:
                        self._handle(event)
                    self._work()
                except (DatabaseError, ComfyError, StorageUnavailableError) as error:
                    self._pause(error)
                except Exception as error:
                    logger.exception("The agent of %s met something unexpected", self.server)
                    self._pause(error)
        finally:
            connections.close_all()

    def _next_event(self) -> Event | None:
        """The next life-cycle message; None when it is time to look around."""
        due = min((look.at for look in self._looks.values()), default=time.monotonic() + TICK_SECONDS)
        try:
            event = self._inbox.get(timeout=max(0.0, min(TICK_SECONDS, due - time.monotonic())))
        except queue.Empty:
            return None
        if event is None:
            self._timers.look_around = self._timers.idle = 0.0
        return event

    def _pause(self, error: Exception) -> None:
        logger.warning("The agent of %s pauses: %s", self.server, error)
        self._timers.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        # Whatever message was being handled is not repeated: reconciling finds what it told.
        self._timers.reconcile = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        close_old_connections()
        self._stopping.wait(0.2)

    def _handle(self, event: Event) -> None:
        match event:
            case Connected():
                self._client_id = event.client_id
                self._has_socket = True
                self._health.connected()
                self._timers.look_around = 0.0
            case Disconnected():
                if self._connected:
                    self._timers.disconnected = time.monotonic()
                self._connected = self._has_socket = False
                ComfyServer.objects.saw_unreachable(self.server.pk, message=event.reason)
            case ExecutionStart():
                self._on_started(event.prompt_id)
            case Executing() if event.prompt_id:
                # Only now is the history entry written: it is missing at execution_success (main.py).
                self._looks[event.prompt_id] = _Look(at=time.monotonic())
            case ExecutionError() if not event.is_execution_blocked:
                self._look_later(event.prompt_id)
            case ExecutionInterrupted() | ExecutionSuccess():
                self._look_later(event.prompt_id)

    def _meet(self) -> None:
        """The socket is open: ask who it is, and begin."""
        self._upstream.meet()
        known = ComfyServer.objects.filter(pk=self.server.pk)
        # Stuck before, and still at it: another socket does not help, only a restart of the server.
        was_wedged = self._is_wedged or known.filter(state=ServerState.WEDGED).exists()
        self._is_wedged = was_wedged and bool(self._client.queue().running)
        if self._is_wedged:
            ComfyServer.objects.saw_wedged(self.server.pk, message="It does not run what it is given. Restart it.")
        else:
            ComfyServer.objects.saw_online(
                self.server.pk, version=self._upstream.version, is_simulator=self._upstream.is_simulator
            )
        self._connected = True
        # It may have come back with other nodes and models: what it told before counts until it is read again.
        self._timers.claim = self._timers.idle = self._timers.reconcile = self._timers.catalog = 0.0

    def _on_started(self, prompt_id: str) -> None:
        held = self._held.get(prompt_id)
        if held is not None and apply.started(uuid.UUID(prompt_id)):
            held.stop_at = time.monotonic() + held.time_limit

    def _work(self) -> None:
        """What is due: histories, stopping, reconciling, new work."""
        now = time.monotonic()
        for prompt_id in [key for key, look in self._looks.items() if look.at <= now]:
            try:
                self._look_up(prompt_id)
            except Exception as error:
                self._put_off(prompt_id, error)
                if is_silent(error):
                    break
        if now >= self._timers.look_around:
            self._timers.look_around = now + TICK_SECONDS
            self._look_around()
        if self._connected and now >= self._timers.reconcile:
            self._reconcile()
        while self._may_claim() and self._claim():
            pass

    def _put_off(self, prompt_id: str, error: Exception) -> None:
        """This prompt cannot be dealt with now. Look at it again later: the other prompts do not wait for it."""
        is_expected = isinstance(error, DatabaseError | ComfyError | StorageUnavailableError)
        logger.warning("Prompt %s on %s waits: %s", prompt_id, self.server, error, exc_info=not is_expected)
        look = self._looks.setdefault(prompt_id, _Look(at=0.0))
        look.at = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        close_old_connections()

    def _look_around(self) -> None:
        """Once a second, and when woken."""
        if self._has_socket and not self._connected:
            try:
                self._meet()
            except ComfyError as error:  # sockets pass where nothing else does, through a proxy for example
                ComfyServer.objects.saw_unreachable(self.server.pk, message=str(error))
        if not self._connected:
            self._move_away()
            return
        if self._health.is_deaf():
            self._reconnect(f"{self.server} is not heard on this connection any more.")
        self._stop_unwanted()
        is_reading = self._catalog_reader is not None and self._catalog_reader.is_alive()
        if time.monotonic() >= self._timers.catalog and not is_reading:
            self._timers.catalog = time.monotonic() + CATALOG_SECONDS
            name = f"catalog {self.server.name}"
            self._catalog_reader = threading.Thread(target=self._read_catalog, name=name, daemon=True)
            self._catalog_reader.start()

    def _reconnect(self, reason: str) -> None:
        """Another socket, and no new work until it is there: this one would not hear what becomes of it."""
        self._listener.reconnect(reason)
        self._timers.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS

    # ------------------------------------------------------------------------------------ catalog
    def _read_catalog(self) -> None:
        try:
            self._fetch_catalog()
        finally:
            connections.close_all()

    def _fetch_catalog(self) -> bool:
        """The server's node classes: megabytes and seconds on a real server, so mostly in a thread of its own. False
        when they could not be read.

        The next claim sees the new digest, here and in every other process.
        """
        server = self.server
        try:
            with ComfyClient(server.url, headers=server.headers) as client:
                object_info = client.object_info()
            # Somebody may have entered another address meanwhile: then another agent reads what is there.
            ComfyServer.objects.filter(url=server.url).saw_nodes(server.pk, object_info=object_info)
            self.wake()
        except Exception as error:  # also what nobody thought of: without a catalogue, the server gets no work
            is_expected = isinstance(error, ComfyError | DatabaseError)
            logger.warning("The node classes of %s could not be read: %s", server, error, exc_info=not is_expected)
            self._timers.catalog = time.monotonic() + CATALOG_RETRY_SECONDS
            return False
        return True

    # ------------------------------------------------------------------------------------ new work
    def _may_claim(self) -> bool:
        return (
            self._connected
            and not self._is_wedged
            and not self._stopping.is_set()
            and self.server.is_enabled
            and not self.server.is_draining
            and len(self._held) < self.server.slots
            and time.monotonic() >= max(self._timers.claim, self._timers.idle)
        )

    def _claim(self) -> bool:
        """Take one generation and submit it; False when there is nothing to do or something is in the way."""
        generation = fair_queue.claim(self.server, self._memory, token=self.token)
        if generation is None:
            self._timers.idle = time.monotonic() + TICK_SECONDS
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
            return self._on_rejected(generation, error)
        except InputMissingError as error:
            self._fail(generation, Failure("input_missing", str(error)))
        except DatabaseError:
            raise  # whether it was submitted is found out by reconciling
        except Exception:
            logger.exception("Generation %s cannot be submitted", generation.pk)
            self._fail(generation, Failure("internal_error", "It could not be prepared. Please tell the operator."))
        return True

    def _submit(self, generation: Generation) -> None:
        self._hold(generation, client_id=self._client_id)
        graph = build_graph(generation, self._client)
        self._broadcast.follow(generation, graph)
        self._frames.follow(str(generation.prompt_id), graph)
        since = self._health.submitting()
        actual = submit_upstream(generation, graph, self._client, self._upstream, client_id=self._client_id)
        self._health.submitted(since)
        if actual != generation.prompt_id:
            self._adopt(generation, actual)
        apply.submitted(generation)

    def _adopt(self, generation: Generation, actual: uuid.UUID) -> None:
        """The server has it under an id of its own. What it said before we knew is found by reconciling."""
        Generation.objects.adopt_prompt_id(generation.prompt_id, actual=actual)
        self._move(generation, actual)

    def _move(self, generation: Generation, actual: uuid.UUID) -> None:
        """What we know of it is about another prompt_id from now on."""
        held = self._held[str(generation.prompt_id)]
        self._frames.follow(str(actual), generation.version.graph)  # before the other one: it tells where this belongs
        self._forget(generation)
        generation.prompt_id = actual
        self._held[str(actual)] = held
        self._broadcast.follow(generation, generation.version.graph)
        self._timers.reconcile = 0.0

    def _hold(self, generation: Generation, *, client_id: str) -> _Held:
        limit = float(generation.version.time_limit_seconds)
        held = _Held(generation.pk, client_id, limit)
        if generation.started_at is not None:
            held.stop_at = time.monotonic() + limit - _seconds_since(generation.started_at)
        return self._held.setdefault(str(generation.prompt_id), held)

    def _on_unavailable(self, generation: Generation, error: Unavailable) -> None:
        """Certainly not submitted: back into the queue. Perhaps submitted: find out before doing anything."""
        if error.is_ambiguous:
            logger.warning("Whether %s has generation %s is not known yet: %s", self.server, generation.pk, error)
            self._timers.claim = self._timers.reconcile = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        else:
            ComfyServer.objects.saw_unreachable(self.server.pk, message=str(error))
            self._give_back(generation)

    def _on_rejected(self, generation: Generation, error: Rejected) -> bool:
        """It is not fit for this server, if its catalog, read again, says so: then it is for others. Else it failed."""
        if error.type in MISSING_THINGS or any(each.type in MISSING_THINGS for each in error.node_errors):
            if not self._fetch_catalog():
                self._give_back(generation)  # whose fault it is cannot be told before that is read
                return False
            catalog = fitness.catalog_of(self.server)
            if catalog is not None and catalog.missing(fair_queue.needs_of(generation)):
                self._forget(generation)
                apply.released(generation)
                return True
        self._fail(generation, apply.rejection_failure(generation, error))
        return True

    def _give_back(self, generation: Generation) -> None:
        """Into the queue as it was; the next try comes after a pause."""
        self._forget(generation)
        apply.released(generation)
        self._timers.claim = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS

    def _fail(self, generation: Generation, failure: Failure) -> None:
        self._forget(generation)
        apply.failed(generation, failure)

    # ------------------------------------------------------------------------------------ ends
    def _look_later(self, prompt_id: str) -> None:
        self._looks.setdefault(prompt_id, _Look(at=time.monotonic() + HISTORY_RETRY_SECONDS))

    def _look_up(self, prompt_id: str) -> None:
        """Collect a prompt that should have ended. Not in the history yet: look again, then leave it to reconcile."""
        if prompt_id not in self._held:
            self._looks.pop(prompt_id, None)
            return
        entry = self._client.history(prompt_id)
        if entry is not None:
            self._collect(prompt_id, entry)
            return
        look = self._looks.setdefault(prompt_id, _Look(at=0.0))
        look.tries += 1
        look.at = time.monotonic() + HISTORY_RETRY_SECONDS
        if look.tries > HISTORY_RETRIES:
            del self._looks[prompt_id]
            self._timers.reconcile = 0.0

    def _collect(self, prompt_id: str, entry: HistoryEntry) -> None:
        """ComfyUI's history has it: it is stored, run once more, failed or canceled."""
        generation = self._mine().filter(prompt_id=uuid.UUID(prompt_id)).first()
        if generation is not None:
            if entry.error is not None and entry.error.is_out_of_memory:
                self._client.free()  # before anything else runs there
                ComfyServer.objects.loaded(self.server.pk, [])
            if not self._end(generation, entry):
                return
        if entry.outcome != "success" or is_unfinished(entry.outputs):
            self._timers.reconcile = 0.0  # the rest of a batch may be queued, which nobody wants any more
        self._drop(prompt_id)

    def _end(self, generation: Generation, entry: HistoryEntry) -> bool:
        """Apply how it ended. False when it has not: the last frames or the rest of a batch are yet to come."""
        goes_on = entry.outcome == "success" and is_unfinished(entry.outputs)
        wanted = frames.wanted_of(generation) if entry.outcome == "success" else []
        if wanted:
            if self._may_hear_more(entry.prompt_id):
                return False
            pictures = self._frames.of(entry.prompt_id, wanted)
            if pictures is None:
                return apply.lost(generation, FRAMES_MISSED) or True
            if self._frames.is_too_much(entry.prompt_id):
                return apply.failed(generation, FRAMES_TOO_LARGE) or True
            entry = replace(entry, outputs=frames.keep(generation, entry.outputs, pictures))
        if goes_on:
            return not self._go_on(generation, entry) and (apply.lost(generation) or True)
        return apply.ended(generation, entry) or True

    def _may_hear_more(self, prompt_id: str) -> bool:
        """The history has it, but its last frames may still be on their way: look again soon."""
        is_heard = self._hears(prompt_id) or self._frames.has_started(prompt_id)
        if self._frames.is_complete(prompt_id) or not is_heard or not self._connected:
            return False
        look = self._looks.setdefault(prompt_id, _Look(at=0.0))
        size_bytes = self._frames.size_bytes(prompt_id)
        look.tries = look.tries + 1 if size_bytes == look.size_bytes else 0
        look.at, look.size_bytes = time.monotonic() + HISTORY_RETRY_SECONDS, size_bytes
        if look.tries * HISTORY_RETRY_SECONDS < frames.WAIT_SECONDS:
            return True
        self._reconnect(f"{self.server} was not heard to send the last pictures of {prompt_id}.")
        return False

    def _go_on(self, generation: Generation, entry: HistoryEntry) -> bool:
        """A node has queued the rest of its batch under another id, with our mark: wait for that. False: it is gone.

        The time limit and a wish to cancel go on with it.
        """
        passed, actual = self._upstream.rest_of(entry, Mark(str(generation.pk), generation.attempt))
        if actual is None or not _is_uuid(actual) or (passed and frames.wanted_of(generation)):
            return False  # what passed unseen was not heard either
        parts = [entry, *(each for each in passed if each.outcome == "success")]
        apply.went_on(generation, parts, actual=uuid.UUID(actual))
        self._hold(generation, client_id="").client_id = ""  # some of what it said was not for us yet: poll
        self._move(generation, uuid.UUID(actual))
        if not self.server.is_history_kept:
            with contextlib.suppress(ComfyError):
                for each in parts:
                    self._client.delete_history(each.prompt_id)
        return True

    def _mine(self) -> GenerationQuerySet:
        """What this server has, as far as we know, loaded with what applying an end reads."""
        rows = Generation.objects.upstream_on(self.server.pk).select_related("version__template", "server")
        return rows.defer("server__object_info")  # megabytes

    def _forget(self, generation: Generation) -> None:
        self._drop(str(generation.prompt_id))

    def _drop(self, prompt_id: str) -> None:
        self._held.pop(prompt_id, None)
        self._looks.pop(prompt_id, None)
        self._broadcast.forget(prompt_id)
        self._frames.forget(prompt_id)
        self._health.forget(prompt_id)
        self._timers.idle = 0.0

    # ------------------------------------------------------------------------------------ reconcile
    def _reconcile(self) -> None:
        """Compare what we believe with what the server knows, and apply what was missed."""
        rows = {str(row.prompt_id): row for row in self._mine()}
        for prompt_id in set(self._held) - set(rows):
            self._drop(prompt_id)
        for row in rows.values():
            self._hold(row, client_id="")
        self._timers.reconcile = time.monotonic() + RECONCILE_SECONDS  # what follows may want it sooner
        has_stopped = self._compare(rows)
        if has_stopped or any(held.client_id != self._client_id for held in self._held.values()):
            self._timers.reconcile = min(self._timers.reconcile, time.monotonic() + POLL_SECONDS)

    def _compare(self, rows: dict[str, Generation]) -> bool:
        """True when something was stopped, which can get lost: ask again soon."""
        found, state = self._upstream.look(rows)
        ComfyServer.objects.saw_answer(self.server.pk)
        missed = []
        for prompt_id, sighting in found.items():
            row = rows[prompt_id]
            if sighting.where == "ended" and self._hears(prompt_id) and prompt_id not in self._looks:
                is_sending = bool(frames.wanted_of(row)) and not self._frames.is_complete(prompt_id)
                missed += [] if is_sending else [prompt_id]
            try:
                self._apply(row, sighting, state)
            except Exception as error:
                if is_silent(error):
                    raise
                self._put_off(prompt_id, error)
        has_stopped = self._stop_given_up(state)
        self._judge(state)
        if missed and self._inbox.empty():
            # Its end was not heard, and is not about to be: this socket may be open and deaf.
            self._reconnect(f"{self.server} was not heard to end {missed[0]}.")
        return has_stopped

    def _apply(self, row: Generation, sighting: Sighting, state: QueueState) -> None:
        """What became of one of ours while nobody looked."""
        match sighting.where:
            case "ended" if sighting.entry is not None:
                self._collect(sighting.entry.prompt_id, sighting.entry)
            case "running" | "waiting":
                self._broadcast.follow(row, row.version.graph)
                if sighting.where == "running" and row.started_at is None:
                    self._on_started(str(row.prompt_id))
            case _:
                self._on_unknown(row, state)

    def _hears(self, prompt_id: str) -> bool:
        held = self._held.get(prompt_id)
        return held is not None and held.client_id == self._client_id

    def _on_unknown(self, row: Generation, state: QueueState) -> None:
        """Neither waiting, nor running, nor ended: lost, unless the server has it under another id."""
        mark, draws_ids = Mark(str(row.pk), row.attempt), not self._upstream.honours_prompt_ids
        actual = self._upstream.find(mark, besides=str(row.prompt_id), queue=state, has_ended=draws_ids)
        if actual is not None and _is_uuid(actual):
            self._adopt(row, uuid.UUID(actual))
            return
        held = self._held.get(str(row.prompt_id))
        self._forget(row)
        if held is not None and held.was_stopped:
            apply.interrupted(row)
        else:
            apply.lost(row)

    def _stop_given_up(self, state: QueueState) -> bool:
        """Ours in its queue that nobody waits for any more: canceled ones, and attempts made elsewhere meanwhile.

        True when there were any.
        """
        has_stopped = False
        for item, mark in self._upstream.marked(state):
            if item.prompt_id in self._held or not _is_uuid(mark.generation):
                continue
            # The same attempt under another id is the rest of a batch, which a node queued itself.
            current = Generation.objects.upstream_on(self.server.pk).filter(attempt=mark.attempt)
            known = Generation.objects.filter(pk=mark.generation)
            if known.exclude(pk__in=current.values("pk")).exists():
                logger.info("%s still has %s, which nobody waits for: it is stopped", self.server, item.prompt_id)
                self._upstream.stop(item.prompt_id)
                has_stopped = True
        return has_stopped

    def _judge(self, state: QueueState) -> None:
        """Does it still run what it is given?"""
        head = state.running[0].prompt_id if state.running else None
        self._health.saw_head(head if head is not None and self._hears(head) else None)
        if self._is_wedged and head is None:
            self._is_wedged = False
            ComfyServer.objects.saw_online(
                self.server.pk, version=self._upstream.version, is_simulator=self._upstream.is_simulator
            )
            return
        reason = "" if self._is_wedged else self._health.why_wedged()
        if reason:
            logger.error("%s is stuck. %s", self.server, reason)
            self._is_wedged = True
            ComfyServer.objects.saw_wedged(self.server.pk, message=reason)
        if self._is_wedged:
            for row in self._mine():
                self._forget(row)
                apply.lost(row)

    # ------------------------------------------------------------------------------------ stopping
    def _stop_unwanted(self) -> None:
        """Those that their owners canceled, whose time is up, or whose server was switched off."""
        if not self._held:
            return
        now = time.monotonic()
        canceled = set(self._mine().filter(cancel_requested_at__isnull=False).values_list("prompt_id", flat=True))
        for prompt_id, held in list(self._held.items()):
            is_canceled = uuid.UUID(prompt_id) in canceled
            is_unwanted = is_canceled or held.stop_at <= now or not self.server.is_enabled
            if not is_unwanted or now < held.stopped_at + STOP_AGAIN_SECONDS:
                continue
            held.stopped_at = now
            if not self._upstream.stop(prompt_id):
                self._health.asked_to_stop(prompt_id)
                if self.server.is_enabled or is_canceled:
                    continue
            self._stopped(prompt_id, is_canceled=is_canceled)

    def _stopped(self, prompt_id: str, *, is_canceled: bool) -> None:
        """It does not run there any more."""
        if is_canceled:
            apply.canceled(uuid.UUID(prompt_id))
            self._drop(prompt_id)
            self._timers.reconcile = 0.0  # stops the rest of a batch, if there is one
        elif not self.server.is_enabled:
            apply.retried(self._held[prompt_id].pk, uuid.UUID(prompt_id), Retry.WITHDRAWN)
            self._drop(prompt_id)
        else:
            self._look_later(prompt_id)

    def _move_away(self) -> None:
        """It cannot be reached: after a while, what it has goes to others, if there are any that can run it."""
        patience = UNREACHABLE_SECONDS if self.server.is_enabled else WITHDRAW_SECONDS
        if time.monotonic() - self._timers.disconnected < patience:
            return
        for row in self._mine():
            if row.cancel_requested_at is not None:
                apply.canceled(row.prompt_id)
            elif not self.server.is_enabled:
                apply.retried(row.pk, row.prompt_id, Retry.WITHDRAWN)
            elif fitness.others_can_run(self.server, fair_queue.needs_of(row)):
                apply.lost(row)
            else:
                continue
            self._forget(row)


def _seconds_since(moment: datetime) -> float:
    return (timezone.now() - moment).total_seconds()


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
