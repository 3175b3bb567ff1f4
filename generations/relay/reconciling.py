"""Comparing what we believe with what a server knows, and applying what was missed."""

from __future__ import annotations

import logging
import time
import uuid

from generations.comfy.errors import is_silent
from generations.comfy.state import QueueState
from generations.models import ComfyServer, Generation
from generations.origins import Mark
from generations.relay import apply, frames, timing
from generations.relay.collecting import Collector
from generations.relay.connection import State
from generations.relay.session import Session
from generations.relay.upstream import Sighting, is_uuid

logger = logging.getLogger(__name__)


class Reconciler:
    """Compares for one server."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self.session = session
        self._collector = collector

    def reconcile(self) -> None:
        """Find out what became of every prompt. ComfyError when the server does not answer."""
        session = self.session
        rows = {str(row.prompt_id): row for row in session.rows()}
        for prompt_id in session.prompts.ids():
            if prompt_id not in rows:
                session.forget(prompt_id)
        for row in rows.values():
            session.track(row, client_id="")
        session.timers.reconcile = time.monotonic() + timing.RECONCILE_SECONDS  # what follows may want it sooner
        has_stopped = self._compare(rows)
        if has_stopped or not session.prompts.are_all_heard(session.connection.client_id):
            session.timers.reconcile = min(session.timers.reconcile, time.monotonic() + timing.POLL_SECONDS)

    def _compare(self, rows: dict[str, Generation]) -> bool:
        """True when something was stopped, which can get lost: ask again soon."""
        found, state = self.session.upstream.look(rows)
        ComfyServer.objects.saw_answer(self.session.server.pk)
        missed = []
        for prompt_id, sighting in found.items():
            row = rows[prompt_id]
            if self._is_end_missed(row, sighting):
                missed.append(prompt_id)
            try:
                self._apply(row, sighting, state)
            except Exception as error:
                if is_silent(error):
                    raise
                self._collector.put_off(prompt_id, error)
        has_stopped = self._stop_given_up(state)
        self._judge(state)
        if missed and self.session.inbox.empty():
            # And no message about that waits in the inbox: this socket may be open and deaf.
            self.session.reconnect(f"The end of prompt {missed[0]} was not reported on this connection.")
        return has_stopped

    def _is_end_missed(self, row: Generation, sighting: Sighting) -> bool:
        """True when it ended and this socket should have said so, but did not."""
        prompt_id = str(row.prompt_id)
        if sighting.where != "ended" or self.session.prompts.is_look_planned(prompt_id):
            return False
        is_sending = bool(frames.wanted_of(row)) and not self.session.frames.is_complete(prompt_id)
        return self.session.hears(prompt_id) and not is_sending

    def _apply(self, row: Generation, sighting: Sighting, state: QueueState) -> None:
        """What became of one of ours since the last look."""
        match sighting.where:
            case "ended" if sighting.entry is not None:
                self._collector.collect(sighting.entry.prompt_id, sighting.entry)
            case "running" | "waiting":
                self.session.broadcast.follow(row, row.version.graph)
                if sighting.where == "running":
                    self.session.started(str(row.prompt_id))
            case _:
                self._on_unknown(row, state)

    def _on_unknown(self, row: Generation, state: QueueState) -> None:
        """Neither waiting, nor running, nor ended: lost, unless the server has it under another id."""
        session = self.session
        mark, draws_ids = Mark(str(row.pk), row.attempt), not session.upstream.honours_prompt_ids
        actual = session.upstream.find(mark, besides=str(row.prompt_id), queue=state, has_ended=draws_ids)
        if actual is not None and is_uuid(actual):
            session.adopt(row, uuid.UUID(actual))
            return
        row.started_at = session.write_start(str(row.prompt_id)) or row.started_at
        was_asked_to_stop = session.prompts.was_asked_to_stop(str(row.prompt_id))
        session.forget(str(row.prompt_id))
        if was_asked_to_stop:
            apply.interrupted(row)
        else:
            apply.lost(row)

    def _stop_given_up(self, state: QueueState) -> bool:
        """Stop what is ours in its queue and not needed any more: canceled runs, and attempts that were made elsewhere
        meanwhile. True when there were any.
        """
        has_stopped = False
        for item, mark in self.session.upstream.marked(state):
            if item.prompt_id in self.session.prompts or not is_uuid(mark.generation):
                continue
            # The same attempt under another id is the rest of a batch, which a node queued itself.
            current = Generation.objects.upstream_on(self.session.server.pk).filter(attempt=mark.attempt)
            known = Generation.objects.filter(pk=mark.generation)
            if known.exclude(pk__in=current.values("pk")).exists():
                logger.info("Stopping prompt %s on %s: it was given up", item.prompt_id, self.session.server)
                self.session.upstream.stop(item.prompt_id)
                has_stopped = True
        return has_stopped

    def _judge(self, state: QueueState) -> None:
        """Does the server still run what it is given? If not, others get what it has."""
        session = self.session
        head = state.running[0].prompt_id if state.running else None
        session.health.saw_head(head if head is not None and session.hears(head) else None)
        is_stuck = session.connection.state is State.STUCK
        if is_stuck and head is None:
            session.saw_online()  # first: should this write fail, the next look repeats it
            session.connection.answered(is_stuck=False)
        elif is_stuck or self._has_become_stuck():
            for row in session.rows():
                session.forget(str(row.prompt_id))
                apply.lost(row)

    def _has_become_stuck(self) -> bool:
        reason = self.session.health.why_stuck()
        if reason:
            logger.error("%s is stuck. %s", self.session.server, reason)
            ComfyServer.objects.saw_stuck(self.session.server.pk, message=reason)
            self.session.connection.answered(is_stuck=True)
        return bool(reason)
