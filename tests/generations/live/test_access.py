"""Who may listen: every socket and every stream of events, for everybody. A new one without a row fails."""

from __future__ import annotations

import json

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from accounts.models import User
from comfysaas.asgi import application
from generations.api.openapi import static_document
from generations.live.routing import websocket_urlpatterns
from generations.models import Generation, Status
from tests.support.callers import CALLERS, headers_of
from tests.support.factories import make_generation
from tests.support.matrix import Cast, make_cast, read
from tests.support.streams import Headers, Stream
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)

# What is heard first: “team”, the team's generation; “own”, one of the caller's own workspace alone. Else the code that
# the socket is closed with, or the status of the answer. Who the callers are: `tests/support/callers.py`.
ROWS = read(
    """
caller       ws/generations/ ws/generations/<uuid:prompt_id>/ /api/v2/jobs/{id}/events
anonymous    4401            4401                             401
bad-key      4401            4401                             401
revoked-key  4401            4401                             401
wrong-scope  4401            4401                             403
silenced     4401            4401                             403
suspended    4401            4401                             403
left-key     4401            4401                             401
left         own             4404                             404
elsewhere    own             4404                             404
stranger     own             4404                             404
staff        own             4404                             404
key          team            team                             team
member       team            team                             team
admin        team            team                             team
owner        team            team                             team
impersonator team            team                             team
"""
)
PAIRS = [(caller, route) for caller, answers in ROWS.items() for route in answers]


def test_every_route_has_a_column_and_every_caller_a_row() -> None:
    assert set(ROWS) == set(CALLERS)
    sockets = {str(each.pattern) for each in websocket_urlpatterns}
    streams = {path for path, item in static_document()["paths"].items() if "text/event-stream" in json.dumps(item)}
    assert set(ROWS["owner"]) == sockets | streams


@pytest.mark.parametrize(("caller", "route"), PAIRS)
async def test_access(caller: str, route: str, owner: User, stranger: User, staff: User) -> None:
    cast, generation = await database_sync_to_async(world)(owner, stranger, staff)
    shown = await database_sync_to_async(headers_of)(caller, cast)
    headers = [(name.lower().encode(), value.encode()) for name, value in shown.items()]
    listen = by_socket if route.startswith("ws/") else by_stream
    assert await listen(generation, route, headers) == ROWS[caller][route]


async def by_socket(generation: Generation, route: str, headers: Headers) -> str:
    path = "/" + route.replace("<uuid:prompt_id>", str(generation.pk))
    socket = WebsocketCommunicator(application, path, headers=[(b"origin", b"http://127.0.0.1"), *headers])
    assert (await socket.connect())[0]
    message = await socket.receive_output(patient(5))
    await socket.disconnect()
    if message["type"] == "websocket.close":
        return str(message["code"])
    return "team" if str(generation.pk) in message["text"] else "own"


async def by_stream(generation: Generation, _route: str, headers: Headers) -> str:
    stream = Stream(generation, headers=headers)
    status = await stream.open()
    heard = await stream.event() if status == 200 else ("", {})
    await stream.leave()
    if status != 200:
        return str(status)
    return "team" if heard == ("status", {"status": "running", "queue_position": None}) else "own"


def world(owner: User, stranger: User, staff: User) -> tuple[Cast, Generation]:
    """The people, each with a generation of their own, and one of the team's, which is newer and so told first."""
    cast = make_cast(owner, stranger, staff)
    for person in (owner, cast.admin, cast.member, stranger, staff):
        make_generation(person, status=Status.RUNNING)
    return cast, make_generation(owner, status=Status.RUNNING, workspace=cast.team)
