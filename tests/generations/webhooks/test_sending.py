"""Webhooks are sent fairly: by user, by webhook and by host, and slow servers delay nobody else."""

from __future__ import annotations

import ipaddress
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection

from accounts.models import User
from generations.models import Webhook, WebhookDelivery
from generations.webhooks import outbox, sending
from generations.webhooks.sending import PER_HOST, PER_USER, PER_WEBHOOK, SLOW_AT_ONCE, Candidate, UnderWay
from tests.support.receiver import Receiver, receiver
from tests.support.waiting import eventually, patient

MANY = 60


def candidate(user: int, host: str = "", *, webhook: int | None = None, is_failing: bool = False) -> Candidate:
    webhook_id = uuid.UUID(int=user if webhook is None else webhook)
    return Candidate(uuid.uuid4(), webhook_id, user, host or f"{webhook_id}.example.com", is_failing)


# ---------------------------------------------------------------------------------------------- whose turn it is
def test_users_take_turns_however_much_one_of_them_has() -> None:
    waiting = [*(candidate(1) for _ in range(20)), *(candidate(2) for _ in range(2)), candidate(3)]
    assert [each.user_id for each in UnderWay().take(waiting, 6)] == [1, 2, 3, 1, 2, 1]


def test_one_webhook_one_user_and_one_host_have_only_so_many_at_a_time() -> None:
    for waiting, most in [
        ([candidate(1) for _ in range(20)], PER_WEBHOOK),
        ([candidate(1, webhook=number) for number in range(20)], PER_USER),
        ([candidate(number, "slow.example.com") for number in range(20)], PER_HOST),
    ]:
        under_way = UnderWay()
        taken = under_way.take(waiting, 20)
        assert len(taken) == most
        assert under_way.take(waiting, 20) == []
        under_way.give_back(taken[0])
        assert len(under_way.take(waiting, 20)) == 1


@pytest.mark.parametrize("is_failing", [True, False])
def test_servers_that_failed_or_were_slow_lately_share_half_of_the_places(is_failing: bool) -> None:
    under_way = UnderWay()
    for number in range(100):
        if not is_failing:
            (seen,) = under_way.take([candidate(number)], 1)
            under_way.give_back(seen, seconds=sending.SLOW_SECONDS)
    bad = [candidate(number, is_failing=is_failing) for number in range(100)]
    assert len(under_way.take(bad, sending.AT_ONCE)) == SLOW_AT_ONCE
    assert len(under_way.take([candidate(1000 + number) for number in range(100)], 10)) == 10


def test_a_server_that_is_quick_again_is_slow_no_more() -> None:
    under_way = UnderWay()
    for seconds in (10.0, 0.1):
        for each in under_way.take([candidate(number) for number in range(SLOW_AT_ONCE)], SLOW_AT_ONCE):
            under_way.give_back(each, seconds=seconds)
    assert len(under_way.take([candidate(number) for number in range(100)], SLOW_AT_ONCE + 5)) == SLOW_AT_ONCE + 5


# ---------------------------------------------------------------------------------------------- really sent
@pytest.fixture
def may_reach_here(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.OUTBOUND_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    monkeypatch.setattr(sending, "ATTEMPT_SECONDS", 60.0)  # what hangs hangs until the test is done


@pytest.fixture
def slow(may_reach_here: None) -> Iterator[Receiver]:
    """Answers nothing until its gate is opened."""
    with receiver() as found:
        found.gate.clear()
        yield found


@pytest.fixture
def fast(may_reach_here: None) -> Iterator[Receiver]:
    """Another host: the same machine under another name."""
    with receiver() as found:
        found.url = found.url.replace("127.0.0.1", "localhost")
        yield found


@contextmanager
def sender(**options: Any) -> Iterator[list[int]]:
    """A worker that sends; what its task returned, once it did."""
    result: list[int] = []

    def work() -> None:
        try:
            result.append(sending.deliver_due(**options))
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield result
    finally:
        thread.join(patient(60))
        assert not thread.is_alive()


def note(user: User, url: str, number: int = 1) -> Webhook:
    hook = Webhook.objects.create(user=user, url=url)
    for _ in range(number):
        outbox.test(hook)
    return hook


def states(hook: Webhook) -> set[str]:
    return {each.state for each in hook.deliveries.all()}


@pytest.mark.django_db(transaction=True)
def test_a_hanging_server_of_one_user_delays_no_other_user(
    owner: User, stranger: User, slow: Receiver, fast: Receiver
) -> None:
    hanging = note(owner, slow.url, 200)
    quick = note(stranger, fast.url)
    later = Webhook.objects.create(user=stranger, url=fast.url)
    with sender() as result:
        try:
            eventually(lambda: states(quick) == {"delivered"}, what="the other user's message")
            eventually(lambda: len(slow.received) == PER_WEBHOOK)
            outbox.test(later)  # noted while the others hang
            eventually(lambda: states(later) == {"delivered"}, what="the other user's next message")
            # Until here no attempt at the hanging server has ended.
            assert not hanging.deliveries.exclude(error="", delivered_at=None).exists()
            assert len(slow.received) == PER_WEBHOOK
        finally:
            slow.gate.set()
    assert result == [202]
    assert states(hanging) == {"delivered"}
    assert len({headers["webhook-id"] for _path, headers, _body in slow.received}) == len(slow.received) == 200


@pytest.mark.django_db(transaction=True)
def test_several_users_at_one_slow_host_count_together_over_all_senders_of_a_process(
    owner: User, stranger: User, staff: User, slow: Receiver, fast: Receiver
) -> None:
    for user in (owner, stranger, staff):
        note(user, slow.url, MANY // 6)
        note(user, f"{slow.url}/another", MANY // 6)
    quick = note(owner, fast.url)
    with sender() as one, sender() as two:
        try:
            eventually(lambda: states(quick) == {"delivered"})
            eventually(lambda: len(slow.received) == PER_HOST)
            assert WebhookDelivery.objects.filter(attempts=1, delivered_at=None).count() == PER_HOST
        finally:
            slow.gate.set()
    assert sum(one) + sum(two) == MANY + 1
    assert set(WebhookDelivery.objects.values_list("attempts", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_a_sender_whose_time_is_over_hands_over_before_it_waits(
    owner: User, slow: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = note(owner, slow.url, 20)
    is_free = []
    with sender(hand_over=lambda: is_free.append(cache.get(sending.slots()[0]) is None)) as result:
        try:
            eventually(lambda: len(slow.received) == PER_WEBHOOK)
            monkeypatch.setattr(sending, "SENDING_SECONDS", 0.0)
            eventually(lambda: is_free == [True])
        finally:
            slow.gate.set()
    assert result == [PER_WEBHOOK]
    assert is_free == [True]
    assert states(hanging) == {"delivered", "waiting"}


@pytest.mark.django_db(transaction=True)
def test_nothing_stays_counted_when_the_database_goes_away(
    owner: User, fast: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(owner, fast.url, 3)

    def broken(*_args: Any) -> None:
        raise ConnectionError

    for name in ("_claim", "_record_all"):
        with monkeypatch.context() as patched:
            patched.setattr(sending, name, broken)
            with pytest.raises(ConnectionError):
                sending.deliver_due()
        assert not sending.under_way._busy
        assert cache.get(sending.slots()[0]) is None


@pytest.mark.django_db(transaction=True)
def test_what_is_due_is_not_looked_for_after_each_message(
    owner: User, fast: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, looks = sending.LOOK_AHEAD + 20, []
    hook = Webhook.objects.create(user=owner, url=fast.url)
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=hook, event="webhook.test", payload={}, next_attempt_at=hook.created_at)
        for _ in range(number)
    )
    look = sending._Sender._read
    monkeypatch.setattr(sending._Sender, "_read", lambda self: looks.append(self) or look(self))
    monkeypatch.setattr(sending, "LOOK_SECONDS", 60.0)
    assert sending.deliver_due() == number
    assert len(looks) <= 4
