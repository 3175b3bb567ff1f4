"""What became of prompts that ended: their histories are looked up and applied."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable
from dataclasses import replace

from django.db import DatabaseError, close_old_connections

from generations.comfy.errors import ComfyError, is_silent
from generations.comfy.outputs import is_unfinished
from generations.comfy.state import HistoryEntry
from generations.models import ComfyServer, Generation
from generations.models.generation import Failure
from generations.origins import Mark
from generations.relay import apply, frames, timing
from generations.relay.finishing import Finisher, Pool
from generations.relay.session import Finished, Session
from generations.relay.submit import StorageUnavailableError
from generations.relay.upstream import is_uuid

logger = logging.getLogger(__name__)

FRAMES_MISSED = (
    "Its pictures travel only over the connection to ComfyUI, and that broke each time. Run it again, or have its "
    "template save them as files."
)
FRAMES_TOO_LARGE = Failure(
    "too_large",
    f"It sent more than {frames.MAX_BYTES // 2**20} MB over the connection. Make fewer pictures at a time.",
)


class Collector:
    """Looks up prompts of one server that should have ended. Small results are stored in the `pool`."""

    def __init__(self, session: Session, pool: Pool) -> None:
        self.session = session
        self.finisher = Finisher(session, pool)

    def look_at_due(self) -> None:
        """Look up those that are due. One that cannot be dealt with now keeps no other waiting."""
        for prompt_id in self.session.prompts.due():
            try:
                self._look_up(prompt_id)
            except Exception as error:
                self.put_off(prompt_id, error)
                if is_silent(error):
                    break

    def put_off(self, prompt_id: str, error: Exception) -> None:
        """This prompt cannot be dealt with now: look at it again later."""
        is_expected = isinstance(error, DatabaseError | ComfyError | StorageUnavailableError)
        logger.warning("Prompt %s on %s waits: %s", prompt_id, self.session.server, error, exc_info=not is_expected)
        self.session.prompts.look_later(prompt_id)
        close_old_connections()

    def _look_up(self, prompt_id: str) -> None:
        """Collect a prompt that should have ended. Not in the history yet: look again, then leave it to reconciling."""
        if prompt_id not in self.session.prompts:
            self.session.prompts.look_no_more(prompt_id)
            return
        entry = self.session.client.history(prompt_id)
        if entry is not None:
            self.collect(prompt_id, entry)
        elif not self.session.prompts.look_again(prompt_id):
            self.session.timers.reconcile = 0.0

    def collect(self, prompt_id: str, entry: HistoryEntry) -> None:
        """ComfyUI's history has it: it is stored, run once more, failed or canceled."""
        if self._is_taken(prompt_id, entry):
            return
        generation = self._written(prompt_id)
        if generation is not None:
            if entry.error is not None and entry.error.is_out_of_memory:
                self.session.client.free()  # before anything else runs there
                ComfyServer.objects.loaded(self.session.server.pk, [])
            if not self._end(generation, entry):
                return
        if entry.outcome != "success" or is_unfinished(entry.outputs):
            self.session.timers.reconcile = 0.0  # stops the rest of a batch, which may be queued already
        self.session.forget(prompt_id)

    def _is_taken(self, prompt_id: str, entry: HistoryEntry) -> bool:
        """True when its result is small and the relay stores it: that is all there is to do."""
        generation = self.session.prompts.generation(prompt_id)
        if generation is None or entry.outcome != "success" or is_unfinished(entry.outputs):
            return False
        return not frames.wanted_of(generation) and self.finisher.take(generation, entry)

    def _written(self, prompt_id: str) -> Generation | None:
        """Its row, which says when it started; None when it is not this server's any more."""
        self.session.write_start(prompt_id)
        return self.session.rows().filter(prompt_id=uuid.UUID(prompt_id)).first()

    def finished(self, finished: Finished) -> None:
        """The threads that store small results are done with one: if it was none for them, a worker gets it."""
        self.session.finished(finished)
        self.finisher.go_on()
        if finished.is_over:
            return
        prompt_id = uuid.UUID(finished.entry.prompt_id)
        apply.started(prompt_id, at=finished.started_at)
        generation = self.session.rows().filter(prompt_id=prompt_id).first()
        if generation is not None:
            apply.ended(generation, finished.entry)
        else:
            apply.tell_end(prompt_id)

    def _end(self, generation: Generation, entry: HistoryEntry) -> bool:
        """Apply how it ended. False when it has not: the last frames or the rest of a batch are yet to come."""
        if entry.outcome != "success":
            apply.ended(generation, entry)
            return True
        goes_on = is_unfinished(entry.outputs)
        wanted = frames.wanted_of(generation)
        if wanted:
            if self._may_hear_more(entry.prompt_id):
                return False
            with_pictures = self._with_pictures(generation, entry, wanted)
            if with_pictures is None:
                return True
            entry = with_pictures
        if goes_on and self._go_on(generation, entry):
            return False
        if goes_on:
            apply.lost(generation)
        else:
            apply.ended(generation, entry)
        return True

    def _may_hear_more(self, prompt_id: str) -> bool:
        """The history has it, but its last frames may still be on their way: look again soon."""
        session = self.session
        is_heard = session.hears(prompt_id) or session.frames.has_started(prompt_id)
        if session.frames.is_complete(prompt_id) or not is_heard or not session.connection.is_answering:
            return False
        silent_seconds = session.prompts.look_for_more(prompt_id, session.frames.size_bytes(prompt_id))
        if silent_seconds < timing.FRAME_SECONDS:
            return True
        session.reconnect(f"The last pictures of prompt {prompt_id} did not arrive on this connection.")
        return False

    def _with_pictures(self, generation: Generation, entry: HistoryEntry, wanted: Iterable[str]) -> HistoryEntry | None:
        """The entry with the pictures that came over the socket, which are in the storage then. None when some are
        missing or they are too much: then the generation has ended.
        """
        pictures = self.session.frames.of(entry.prompt_id, wanted)
        if pictures is None:
            apply.lost(generation, FRAMES_MISSED)
            return None
        if self.session.frames.is_too_much(entry.prompt_id):
            apply.failed(generation, FRAMES_TOO_LARGE)
            return None
        return replace(entry, outputs=frames.keep(generation, entry.outputs, pictures))

    def _go_on(self, generation: Generation, entry: HistoryEntry) -> bool:
        """A node has queued the rest of its batch under another id, with our mark: wait for that. False: it is gone.

        The time limit and a wish to cancel go on with it.
        """
        session = self.session
        passed, actual = session.upstream.rest_of(entry, Mark(str(generation.pk), generation.attempt))
        if actual is None or not is_uuid(actual) or (passed and frames.wanted_of(generation)):
            return False  # what passed unseen was not heard either
        parts = [entry, *(each for each in passed if each.outcome == "success")]
        apply.went_on(generation, parts, actual=uuid.UUID(actual))
        session.track(generation, client_id="")
        session.prompts.set_unheard(str(generation.prompt_id))  # some of what it said was not for us yet: poll
        session.move(generation, uuid.UUID(actual))
        if not session.server.is_history_kept:
            with contextlib.suppress(ComfyError):
                for each in parts:
                    session.client.delete_history(each.prompt_id)
        return True
