"""Sending webhooks' messages, so that one user's slow server does not delay the messages of others.

A sender keeps many messages under way at a time. Whenever one ends, the next one that is due starts: of the user who
has the fewest under way. One webhook, one user and one host have only so many at a time, and servers that failed or
were slow lately get at most half of all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync, sync_to_async
from celery import shared_task
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from standardwebhooks import Webhook as Signer

from accounts.models.encrypted import UnreadableError
from generations import outbound
from generations.broker import ask
from generations.models import Webhook, WebhookDelivery
from generations.models.webhook import DISABLED_AFTER

logger = logging.getLogger(__name__)

AT_ONCE = 64
SLOW_AT_ONCE = 32
PER_USER, PER_HOST, PER_WEBHOOK = 8, 8, 4
ATTEMPT_SECONDS = 10.0
SLOW_SECONDS = 2.0
CLAIM_SECONDS = 60.0
LOOK_SECONDS = 1.0  # how often a sender looks for new messages
LOOK_AHEAD = 200  # of one webhook, at one look
SENDING_SECONDS = 300.0
ANSWER_BYTES = 64 * 1024
SENDERS = 2  # workers that may send at a time
SLOW_HOSTS = 10_000
GONE = 410


@shared_task(name="generations.tasks.deliver_webhooks", ignore_result=True, expires=CLAIM_SECONDS)
def deliver_webhooks() -> int:
    """Send the messages that are due. Returns how many were sent."""
    return deliver_due(hand_over=partial(ask, deliver_webhooks))


def deliver_due(*, hand_over: Callable[[], object] = lambda: None) -> int:
    """Send messages for as long as any are due. Returns the number of attempts; 0 when SENDERS workers send already.

    After SENDING_SECONDS it calls `hand_over`, which should start another sender, and only ends what it began.
    """
    slot = next((key for key in slots() if cache.add(key, True, CLAIM_SECONDS)), None)
    if slot is None:
        return 0
    sender = _Sender(slot, hand_over)
    try:
        # The database is used in this thread, between the turns of the event loop that sends.
        return async_to_sync(sender.run)()
    finally:
        sender.leave()


def slots() -> list[str]:
    """Cache keys, one for each sender that may be at work."""
    return [f"webhooks.sender.{number}" for number in range(SENDERS)]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that is due, with what decides whether it may be sent now."""

    pk: uuid.UUID
    webhook_id: uuid.UUID
    user_id: int
    host: str
    is_failing: bool


class UnderWay:
    """What all senders of this process are sending, and which hosts were slow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy: Counter[int | str | uuid.UUID] = Counter()  # of users, hosts and webhooks
        self._slow: set[uuid.UUID] = set()  # deliveries
        self._slow_hosts: set[str] = set()

    def take(self, candidates: list[Candidate], number: int) -> list[Candidate]:
        """Take up to `number` that may be sent now out of the list, in turn by user, and count them as under way."""
        with self._lock:
            taken: list[Candidate] = []
            while len(taken) < number:
                allowed = [each for each in candidates if self._may_start(each)]
                if not allowed:
                    break
                chosen = min(allowed, key=lambda each: self._busy[each.user_id])  # the first of equals
                candidates.remove(chosen)
                taken.append(chosen)
                self._count(chosen, 1)
            return taken

    def give_back(self, candidate: Candidate, *, seconds: float | None = None) -> None:
        """It ended after `seconds`; None if that says nothing about its host."""
        with self._lock:
            self._count(candidate, -1)
            if seconds is None:
                return
            if seconds < SLOW_SECONDS:
                self._slow_hosts.discard(candidate.host)
            elif len(self._slow_hosts) < SLOW_HOSTS:
                self._slow_hosts.add(candidate.host)

    def _may_start(self, candidate: Candidate) -> bool:
        return (
            self._busy[candidate.user_id] < PER_USER
            and self._busy[candidate.host] < PER_HOST
            and self._busy[candidate.webhook_id] < PER_WEBHOOK
            and (len(self._slow) < SLOW_AT_ONCE or not self._is_slow(candidate))
        )

    def _is_slow(self, candidate: Candidate) -> bool:
        return candidate.is_failing or candidate.host in self._slow_hosts

    def _count(self, candidate: Candidate, change: int) -> None:
        if change < 0:
            self._slow.discard(candidate.pk)
        elif self._is_slow(candidate):
            self._slow.add(candidate.pk)
        for key in (candidate.user_id, candidate.host, candidate.webhook_id):
            self._busy[key] += change
            if not self._busy[key]:
                del self._busy[key]


under_way = UnderWay()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `status` is the answer's, None without an answer; `problem` says what went wrong, "" if nothing."""

    delivery: WebhookDelivery
    status: int | None
    problem: str
    seconds: float


class _Sender:
    def __init__(self, slot: str, hand_over: Callable[[], object]) -> None:
        self._slot = slot
        self._hand_over = hand_over
        self._began = time.monotonic()
        self._looked = float("-inf")
        self._has_taken = False  # of what was seen at the last look
        self._candidates: list[Candidate] = []
        self._tasks: set[asyncio.Task[Attempt]] = set()

    def leave(self) -> None:
        """Let another sender take this one's slot."""
        if self._slot:
            cache.delete(self._slot)
            self._slot = ""

    async def run(self) -> int:
        """Send until nothing is due. Returns the number of attempts."""
        number = 0
        try:
            while True:
                await self._fill()
                if not self._tasks:
                    return number
                done, self._tasks = await asyncio.wait(
                    self._tasks, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                number += len(done)
                await sync_to_async(_record_all)([task.result() for task in done])
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fill(self) -> None:
        """Start as many as there is room for, unless this sender's time is over."""
        now = time.monotonic()
        if now - self._began > SENDING_SECONDS:
            await sync_to_async(self._retire)()
            return
        if now - self._looked > LOOK_SECONDS:
            await self._look()
        while room := AT_ONCE - len(self._tasks):
            if chosen := under_way.take(self._candidates, room):
                await self._start(chosen)
            elif self._has_taken and not self._candidates:
                await self._look()
            else:
                return

    def _retire(self) -> None:
        if self._slot:
            self.leave()
            self._hand_over()

    async def _look(self) -> None:
        self._candidates = await sync_to_async(self._read)()
        self._looked, self._has_taken = time.monotonic(), False

    def _read(self) -> list[Candidate]:
        cache.touch(self._slot, CLAIM_SECONDS)
        return [
            Candidate(pk, webhook_id, user_id, urlsplit(url).hostname or "", failing_since is not None)
            for pk, webhook_id, user_id, url, failing_since in WebhookDelivery.objects.in_turn(LOOK_AHEAD)
        ]

    async def _start(self, chosen: Sequence[Candidate]) -> None:
        """Claim them, and send those that no other sender has claimed."""
        self._has_taken = True
        rows: dict[uuid.UUID, WebhookDelivery] = {}
        try:
            rows = await sync_to_async(_claim)([each.pk for each in chosen])
        finally:
            for each in chosen:
                if each.pk not in rows:
                    under_way.give_back(each)
        for each in chosen:
            if each.pk in rows:
                task = asyncio.create_task(_attempt(rows[each.pk]))
                task.add_done_callback(partial(_count_out, each))  # also of one that is canceled before it begins
                self._tasks.add(task)


def _claim(pks: Sequence[uuid.UUID]) -> dict[uuid.UUID, WebhookDelivery]:
    """The rows of those that no other sender has claimed."""
    mine = [pk for pk in pks if WebhookDelivery.objects.claim(pk, seconds=CLAIM_SECONDS)]
    return WebhookDelivery.objects.select_related("webhook").in_bulk(mine)


def _count_out(candidate: Candidate, task: asyncio.Task[Attempt]) -> None:
    has_result = not task.cancelled() and task.exception() is None
    under_way.give_back(candidate, seconds=task.result().seconds if has_result else None)


async def _attempt(delivery: WebhookDelivery) -> Attempt:
    begin = time.monotonic()
    status, problem = await _send(delivery)
    return Attempt(delivery, status, problem, time.monotonic() - begin)


async def _send(delivery: WebhookDelivery) -> tuple[int | None, str]:
    """(status of the answer, what is wrong with it)."""
    body = json.dumps(delivery.payload, separators=(",", ":"))
    now = timezone.now()
    if delivery.webhook.is_secret_lost:
        logger.error("Webhook %s: %s", delivery.webhook_id, UnreadableError("Its secret"))
        return None, "Its secret cannot be read any more. Make a new webhook."
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Signer(delivery.webhook.secret).sign(delivery.message_id, now, body),
    }
    try:
        answer = await outbound.request(
            "POST", delivery.webhook.url, headers=headers, body=body.encode(),
            max_bytes=ANSWER_BYTES, seconds=ATTEMPT_SECONDS,
        )  # fmt: skip
    except (outbound.RefusedAddressError, outbound.RequestFailedError) as error:
        return None, str(error)
    except Exception:
        logger.exception("Webhook delivery %s could not be sent", delivery.pk)
        return None, "It could not be sent."
    return answer.status, "" if 200 <= answer.status < 300 else f"The answer was {answer.status}."


def _record_all(attempts: Sequence[Attempt]) -> None:
    for each in attempts:
        _record(each.delivery, each.status, each.problem)


@transaction.atomic
def _record(delivery: WebhookDelivery, status: int | None, problem: str) -> None:
    now = timezone.now()
    hooks = Webhook.objects.filter(pk=delivery.webhook_id)
    rows = WebhookDelivery.objects.filter(pk=delivery.pk)
    if not problem:
        rows.update(delivered_at=now, next_attempt_at=None, status_code=status, error="")
        hooks.exclude(failing_since=None).update(failing_since=None)
        return
    rows.update(next_attempt_at=delivery.retry_at(now), status_code=status, error=problem[:300])
    hooks.filter(failing_since=None).update(failing_since=now)
    if status == GONE:
        _disable(delivery.webhook_id, "The server answered that it is gone (410).")
    elif hooks.filter(failing_since__lt=now - DISABLED_AFTER).exists():
        _disable(delivery.webhook_id, f"Nothing arrived for {DISABLED_AFTER.days} days. The last attempt: {problem}")


def _disable(pk: uuid.UUID, reason: str) -> None:
    changed = Webhook.objects.filter(pk=pk, is_enabled=True).update(is_enabled=False, disabled_reason=reason[:300])
    if changed:
        logger.warning("Webhook %s is disabled: %s", pk, reason)
    WebhookDelivery.objects.filter(webhook=pk, next_attempt_at__isnull=False).update(next_attempt_at=None)
