"""Browser sockets: who may listen, what they hear first, and when they are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from accounts import impersonation, standing, workspaces
from accounts.models import Membership, Plan, User, Workspace
from comfysaas.asgi import application
from generations.lifecycle import services
from generations.live import consumers, publisher, snapshot
from generations.models import Generation, Status
from tests.support import signing_in
from tests.support.factories import make_generation, make_team, make_template, make_user
from tests.support.waiting import patient

pytestmark = pytest.mark.django_db(transaction=True)
signed_in = database_sync_to_async(signing_in.signed_in)


async def socket(path: str, client: Client | None = None, origin: str = "http://127.0.0.1") -> WebsocketCommunicator:
    headers = [(b"origin", origin.encode())]
    if client is not None:
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        headers.append((b"cookie", cookie.encode()))
    return WebsocketCommunicator(application, path, headers=headers)


async def close_code(communicator: WebsocketCommunicator) -> int:
    message = await communicator.receive_output(patient(5))
    assert message["type"] == "websocket.close"
    return int(message["code"])


@database_sync_to_async
def made(**fields: Any) -> tuple[Any, Generation]:
    user = make_user()
    return user, make_generation(user, **fields)


async def test_the_owner_gets_a_snapshot_first_and_then_events() -> None:
    user, generation = await made()
    communicator = await socket(f"/ws/generations/{generation.pk}/", await signed_in(user))
    assert (await communicator.connect())[0]
    first = await communicator.receive_json_from(patient(5))
    assert first["type"] == "snapshot"
    assert first["generation"]["status"] == "queued"
    assert first["generation"]["queue_position"] == 1
    publisher.sender.use(asyncio.get_running_loop())
    try:
        await database_sync_to_async(services.cancel)(generation)
        event = await communicator.receive_json_from(patient(5))
    finally:
        publisher.sender.use(None)
    assert (event["type"], event["generation"]["status"]) == ("snapshot", "canceled")
    await communicator.disconnect()


@pytest.mark.parametrize("path", ["/ws/generations/", "/ws/generations/{id}/"])
async def test_anonymous_sockets_are_closed(path: str) -> None:
    _, generation = await made()
    communicator = await socket(path.format(id=generation.pk))
    assert (await communicator.connect())[0]
    assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED


async def test_a_strangers_generation_does_not_exist() -> None:
    _, generation = await made()
    stranger = await database_sync_to_async(make_user)("stranger@example.com")
    communicator = await socket(f"/ws/generations/{generation.pk}/", await signed_in(stranger))
    await communicator.connect()
    assert await close_code(communicator) == consumers.CLOSE_NOT_FOUND


async def test_a_page_of_another_site_may_not_connect() -> None:
    user, _ = await made()
    communicator = await socket("/ws/generations/", await signed_in(user), origin="https://evil.example")
    assert not (await communicator.connect())[0]


async def test_the_list_socket_tells_of_all_active_ones_and_only_of_ones_own() -> None:
    user, generation = await made()
    await database_sync_to_async(make_generation)(user, status=Status.SUCCEEDED)
    other = await database_sync_to_async(make_user)("other@example.com")
    await database_sync_to_async(make_generation)(other)
    communicator = await socket("/ws/generations/", await signed_in(user))
    await communicator.connect()
    first = await communicator.receive_json_from(patient(5))
    assert first["prompt_id"] == str(generation.pk)
    assert await communicator.receive_nothing(0.3)
    await communicator.disconnect()


async def test_signing_out_closes_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "AUTHORISE_SECONDS", 0.1)
    user, _ = await made(status=Status.SUCCEEDED)
    client = await signed_in(user)
    communicator = await socket("/ws/generations/", client)
    await communicator.connect()
    await database_sync_to_async(client.logout)()
    assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED


async def test_a_deactivated_user_is_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "AUTHORISE_SECONDS", 0.1)
    user, _ = await made(status=Status.SUCCEEDED)
    communicator = await socket("/ws/generations/", await signed_in(user))
    await communicator.connect()
    user.is_active = False
    await database_sync_to_async(user.save)()
    assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED


async def test_the_place_in_the_queue_is_told_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "QUEUE_POLL_SECONDS", 0.05)
    user, first = await made()
    template = await database_sync_to_async(lambda: make_template("other"))()
    second = await database_sync_to_async(make_generation)(user, template=template)
    communicator = await socket(f"/ws/generations/{second.pk}/", await signed_in(user))
    await communicator.connect()
    assert (await communicator.receive_json_from(patient(5)))["generation"]["queue_position"] == 2
    await database_sync_to_async(Generation.objects.request_cancel)(first.pk)
    while (event := await communicator.receive_json_from(patient(5)))["queue_position"] != 1:
        pass
    assert event["type"] == "status"
    await communicator.disconnect()


def test_a_snapshot_never_shows_what_is_for_staff() -> None:
    detail = {"traceback": ["/srv/secret/path"]}
    generation = make_generation(make_user(), status=Status.FAILED, error_detail=detail)
    assert "/srv/secret" not in str(snapshot.state(generation))


async def test_no_more_sockets_than_the_plan_allows_and_a_closed_one_makes_room() -> None:
    user, _ = await made()
    plan = await Plan.objects.acreate(name="two", max_sockets=2)
    await Workspace.objects.filter(person=user).aupdate(plan=plan)
    client = await signed_in(user)
    first, second = await socket("/ws/generations/", client), await socket("/ws/generations/", client)
    assert (await first.connect())[0]
    assert (await second.connect())[0]
    third = await socket("/ws/generations/", client)
    assert (await third.connect())[0]
    assert await close_code(third) == consumers.CLOSE_TOO_MANY
    await third.disconnect()
    await first.disconnect()
    fourth = await socket("/ws/generations/", client)
    assert (await fourth.connect())[0]
    assert (await fourth.receive_json_from(patient(5)))["type"] == "snapshot"
    await fourth.disconnect()
    await second.disconnect()


@pytest.mark.parametrize("is_over", [False, True])
async def test_staff_who_impersonate_the_owner_hear_what_they_hear_until_it_is_over(
    is_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, generation = await made()
    staff = await database_sync_to_async(make_user)("staff@example.com", is_staff=True, is_superuser=True)
    browser = await signed_in(staff)
    monkeypatch.setattr(impersonation, "LONGEST_SECONDS", -1.0 if is_over else 60.0)
    start = f"/admin/accounts/user/{user.pk}/impersonate/"
    await database_sync_to_async(browser.post)(start, {"reason": "ticket"})
    communicator = await socket(f"/ws/generations/{generation.pk}/", browser)
    assert (await communicator.connect())[0]
    if is_over:
        assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED
    else:
        assert (await communicator.receive_json_from(patient(5)))["type"] == "snapshot"
        publisher.sender.use(asyncio.get_running_loop())
        try:
            await database_sync_to_async(browser.post)("/account/impersonation/end/")
            assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED
        finally:
            publisher.sender.use(None)


@pytest.mark.parametrize("path", ["/ws/generations/", "/ws/generations/{id}/"])
async def test_suspension_closes_sockets_at_once(path: str) -> None:
    user, generation = await made()
    staff = await database_sync_to_async(make_user)("staff@example.com", is_staff=True, is_superuser=True)
    communicator = await socket(path.format(id=generation.pk), await signed_in(user))
    assert (await communicator.connect())[0]
    await communicator.receive_json_from(patient(5))
    publisher.sender.use(asyncio.get_running_loop())
    try:
        await database_sync_to_async(standing.suspend)(user, by=staff, reason="spam")
        assert await close_code(communicator) == consumers.CLOSE_UNAUTHENTICATED
    finally:
        publisher.sender.use(None)


# ---------------------------------------------------------------------------------------------- teams
@database_sync_to_async
def in_team() -> tuple[User, User, Workspace, Generation]:
    """(owner, member, their team, a generation of the owner there)"""
    owner, member = make_user("ana@example.com"), make_user("ben@example.com")
    team = make_team(owner, member=member)
    return owner, member, team, make_generation(owner, workspace=team)


@database_sync_to_async
def chooses(client: Client, workspace: Workspace) -> None:
    session = client.session
    session["workspace"] = str(workspace.public_id)
    session.save()


@pytest.fixture
async def loop() -> Any:
    publisher.sender.use(asyncio.get_running_loop())
    yield
    publisher.sender.use(None)


async def test_members_follow_each_others_generations(loop: None) -> None:
    _, member, team, generation = await in_team()
    client = await signed_in(member)
    one = await socket(f"/ws/generations/{generation.pk}/", client)
    await one.connect()
    assert (await one.receive_json_from(patient(5)))["prompt_id"] == str(generation.pk)
    at_home = await socket("/ws/generations/", client)
    await at_home.connect()
    await chooses(client, team)
    there = await socket("/ws/generations/", client)
    await there.connect()
    assert (await there.receive_json_from(patient(5)))["prompt_id"] == str(generation.pk)
    await database_sync_to_async(services.cancel)(generation)
    for each in (one, there):
        event = await each.receive_json_from(patient(5))
        assert event["generation"]["status"] == "canceled"
    assert await at_home.receive_nothing(0.3)
    for each in (one, there, at_home):
        await each.disconnect()


async def test_a_removed_member_is_put_out_at_once(loop: None) -> None:
    owner, member, team, generation = await in_team()
    client = await signed_in(member)
    await chooses(client, team)
    sockets = [await socket(path, client) for path in ("/ws/generations/", f"/ws/generations/{generation.pk}/")]
    for each in sockets:
        await each.connect()
        await each.receive_json_from(patient(5))

    def remove() -> None:
        workspaces.remove_member(acting=owner, member=Membership.objects.get(user=member, workspace=team))

    await database_sync_to_async(remove)()
    for each in sockets:
        assert await close_code(each) == consumers.CLOSE_UNAUTHENTICATED


async def test_everybody_is_put_out_of_a_team_that_is_dissolved_at_once(loop: None) -> None:
    owner, member, team, generation = await in_team()
    client = await signed_in(member)
    at_home = await socket("/ws/generations/", client)
    await at_home.connect()
    await chooses(client, team)
    sockets = [await socket(path, client) for path in ("/ws/generations/", f"/ws/generations/{generation.pk}/")]
    for each in sockets:
        await each.connect()
        await each.receive_json_from(patient(5))
    await database_sync_to_async(workspaces.dissolve)(acting=owner, workspace=team)
    for each in sockets:
        assert await close_code(each) == consumers.CLOSE_UNAUTHENTICATED
    await at_home.disconnect()


async def test_nobody_else_follows_a_team() -> None:
    _, _, team, generation = await in_team()
    stranger = await database_sync_to_async(make_user)("stranger@example.com")
    client = await signed_in(stranger)
    await chooses(client, team)
    one = await socket(f"/ws/generations/{generation.pk}/", client)
    await one.connect()
    assert await close_code(one) == consumers.CLOSE_NOT_FOUND
    everything = await socket("/ws/generations/", client)
    await everything.connect()
    assert await everything.receive_nothing(0.3)
    await everything.disconnect()
