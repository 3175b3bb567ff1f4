"""New work for a server: claiming generations, and submitting them."""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError

from accounts.models.encrypted import UnreadableError
from generations.comfy.errors import Rejected, Unavailable
from generations.models import ComfyServer, Generation
from generations.models.generation import Failure
from generations.relay import apply, timing
from generations.relay.catalog_reader import CatalogReader
from generations.relay.connection import State
from generations.relay.session import Session
from generations.relay.submit import InputMissingError, StorageUnavailableError, build_graph, submit_upstream
from generations.scheduling import catalogs, claims
from generations.scheduling.claims import Memory

logger = logging.getLogger(__name__)

MISSING_THINGS = {
    "missing_node_type", "invalid_prompt", "value_not_in_list", "required_input_missing", "value_smaller_than_min",
    "value_bigger_than_max",
}  # fmt: skip


class Claimer:
    """Fills the slots of one server."""

    def __init__(self, session: Session, catalog_reader: CatalogReader) -> None:
        self.session = session
        self._catalog_reader = catalog_reader
        self._memory = Memory()

    def claim_all(self) -> None:
        """Claim and submit until the server is full, the queue has nothing for it, or something is in the way."""
        while self._may_claim() and self._claim():
            pass

    def _may_claim(self) -> bool:
        session = self.session
        return (
            session.connection.state is State.READY
            and not session.stopping.is_set()
            and session.server.is_enabled
            and not session.server.is_draining
            and len(session.prompts) < session.server.slots
            and time.monotonic() >= max(session.timers.claim, session.timers.idle, session.timers.line)
        )

    def _claim(self) -> bool:
        """Take one generation and submit it. False when there is none or something is in the way."""
        timers, next_tick = self.session.timers, time.monotonic() + timing.TICK_SECONDS
        generation = claims.claim(self.session.server, self._memory, token=self.session.token)
        if self._memory.is_line_done:
            timers.line = next_tick
        if generation is None:
            timers.idle = next_tick
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
        except UnreadableError as error:
            logger.error("Generation %s: %s", generation.pk, error)
            self._fail(generation, Failure("input_missing", "Its API key cannot be read any more. Send it again."))
        except DatabaseError:
            raise  # whether it was submitted is found out by reconciling
        except Exception:
            logger.exception("Generation %s cannot be submitted", generation.pk)
            self._fail(generation, Failure("internal_error", "It could not be prepared. Please tell the operator."))
        return True

    def _submit(self, generation: Generation) -> None:
        session = self.session
        client_id = session.connection.client_id
        session.track(generation, client_id=client_id)
        graph = build_graph(generation, session.client)
        session.broadcast.follow(generation, graph)
        session.frames.follow(str(generation.prompt_id), graph)
        since = session.health.submitting()
        actual = submit_upstream(generation, graph, session.client, session.upstream, client_id=client_id)
        session.health.submitted(since)
        if actual != generation.prompt_id:
            session.adopt(generation, actual)
        apply.submitted(generation)

    def _on_unavailable(self, generation: Generation, error: Unavailable) -> None:
        """Certainly not submitted: back into the queue. Perhaps submitted: find out before doing anything."""
        if error.is_ambiguous:
            logger.warning(
                "Whether %s has generation %s is not known yet: %s", self.session.server, generation.pk, error
            )
            timers = self.session.timers
            timers.claim = timers.reconcile = time.monotonic() + timing.PAUSE_AFTER_FAULT_SECONDS
        else:
            ComfyServer.objects.saw_unreachable(self.session.server.pk, message=str(error))
            self._give_back(generation)

    def _on_rejected(self, generation: Generation, error: Rejected) -> bool:
        """For others, if the catalog, read again, shows that this server cannot run it. Otherwise it failed."""
        if error.type in MISSING_THINGS or any(each.type in MISSING_THINGS for each in error.node_errors):
            if not self._catalog_reader.read():
                self._give_back(generation)  # whose fault it is shows only in the catalog
                return False
            catalog = catalogs.catalog_of(self.session.server)
            if catalog is not None and catalog.missing(generation.needs):
                self.session.forget(str(generation.prompt_id))
                apply.released(generation)
                return True
        self._fail(generation, apply.rejection_failure(generation, error))
        return True

    def _give_back(self, generation: Generation) -> None:
        """Into the queue as it was; the next try comes after a pause."""
        self.session.forget(str(generation.prompt_id))
        apply.released(generation)
        self.session.timers.pause_claims()

    def _fail(self, generation: Generation, failure: Failure) -> None:
        self.session.forget(str(generation.prompt_id))
        apply.failed(generation, failure)
