"""No request fails or hangs because Redis is away, be it as broker, cache or channel layer; `sweep` makes up for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, override_settings
from django.utils import timezone
from kombu import pools

from accounts.models import ApiKey, User
from comfysaas.celery import app
from generations import broker, tasks
from generations.files import assets
from generations.models import DiscardedFile, Generation, Status, Webhook, WebhookDelivery
from generations.models.discarded import ASKED_AGAIN
from generations.webhooks import outbox
from tests.support.factories import make_asset, make_generation, make_output, make_template
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 6.0  # one timeout of the broker, three of the cache
BODY = {"inputs": {"prompt": "a cat"}}


def forget_connections() -> None:
    """Celery keeps those that it had."""
    app.amqp._producer_pool = None
    app._pool = None
    pools.reset()


def answer_errors(listener: socket.socket) -> None:
    """As a Redis without memory does, to whatever comes."""

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            while client.recv(65536):
                client.sendall(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")

    with suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


@pytest.fixture(params=["refuses", "is silent", "has no memory"])
def redis_away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of a cluster whose Redis is away in one way or another."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        if request.param == "refuses":
            listener.close()
        elif request.param == "has no memory":
            threading.Thread(target=answer_errors, args=(listener,), daemon=True).start()
        monkeypatch.setattr(broker, "_broker", broker._Broker())
        for name, value in {
            "broker_url": url,
            "broker_transport_options": settings.BROKER_PATIENCE,
        }.items():
            monkeypatch.setitem(app.conf, name, value)
        layers = {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [url]}}}
        caches = {
            "default": {
                "BACKEND": "comfysaas.cache.SharedRedisCache",
                "LOCATION": url,
                "OPTIONS": settings.CACHE_TIMEOUTS,
            }
        }
        forget_connections()
        with override_settings(CACHES=caches, CHANNEL_LAYERS=layers):
            yield
    forget_connections()


def timed(send: Callable[[], Any]) -> int:
    """The status of the answer, which comes soon."""
    begin = time.monotonic()
    status: int = send().status_code
    assert time.monotonic() - begin < patient(SECONDS)
    return status


@pytest.mark.usefixtures("known_server", "redis_away")
def test_requests_answer_as_usual_without_redis(owner: User) -> None:
    make_template()
    hook = Webhook.objects.create(user=owner, url="https://localhost/hook", events=["job.canceled"])
    sent = WebhookDelivery.objects.create(webhook=hook, event="webhook.test", payload={})
    done = [make_generation(owner, status=Status.SUCCEEDED) for _ in range(2)]
    for each in done:
        make_output(each)
    running = [make_generation(owner, status=Status.RUNNING, attempt=1) for _ in range(2)]
    files = [make_asset(owner) for _ in range(2)]
    api = Client(headers={"Authorization": f"Bearer {ApiKey.objects.issue(user=owner, name='tests')[1]}"})
    page = Client()
    page.force_login(owner)

    def post(path: str, body: Any = None) -> Callable[[], Any]:
        return lambda: api.post(f"/api/v2/{path}", body, content_type="application/json")

    answers = {
        "submit": (post("templates/text-to-image/jobs", BODY), 201),
        "submit by page": (lambda: page.post("/templates/text-to-image/", {"prompt": "a cat"}), 302),
        "cancel": (post(f"jobs/{running[0].pk}/cancel"), 200),
        "cancel by page": (lambda: page.post(f"/generations/{running[1].pk}/cancel/"), 302),
        "delete an asset": (lambda: api.delete(f"/api/v2/assets/{files[0].pk}"), 204),
        "delete an asset by page": (lambda: page.post(f"/account/storage/{files[1].pk}/delete/"), 302),
        "delete a job": (lambda: api.delete(f"/api/v2/jobs/{done[0].pk}"), 204),
        "delete a generation by page": (lambda: page.post(f"/generations/{done[1].pk}/delete/"), 302),
        "test a webhook": (post(f"webhooks/{hook.pk}/test"), 202),
        "test a webhook by page": (lambda: page.post(f"/account/webhooks/{hook.pk}/test/"), 302),
        "redeliver": (post(f"webhooks/{hook.pk}/deliveries/{sent.pk}/redeliver"), 202),
    }
    assert {name: timed(send) for name, (send, _) in answers.items()} == {
        name: code for name, (_, code) in answers.items()
    }
    assert Generation.objects.filter(status=Status.QUEUED).count() == 2
    assert DiscardedFile.objects.count() == 8  # four files with their thumbnails
    assert hook.deliveries.filter(delivered_at=None, next_attempt_at__lte=timezone.now()).count() == 3


def test_a_broker_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch, redis_away: None) -> None:
    begin = time.monotonic()
    for _ in range(50):
        broker.ask(tasks.sweep)
    assert time.monotonic() - begin < patient(SECONDS)


def test_sweep_finds_what_no_broker_took(owner: User, redis_away: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = make_asset(owner)
    hook = Webhook.objects.create(user=owner, url="https://localhost/hook", events=[])
    finished = make_generation(owner, status=Status.STORING)
    outbox.test(hook)
    assets.delete(asset)

    monkeypatch.setitem(app.conf, "task_always_eager", True)
    monkeypatch.setattr(broker, "_broker", broker._Broker())
    DiscardedFile.objects.update(asked_at=timezone.now() - 2 * ASKED_AGAIN)
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        tasks.sweep()
    finished.refresh_from_db()
    assert finished.status == Status.SUCCEEDED
    assert not DiscardedFile.objects.exists()
    assert hook.deliveries.get().attempts == 1
