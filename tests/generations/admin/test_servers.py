"""ComfyUI servers in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from generations.models import ComfyServer, Status
from tests.support.factories import make_generation, make_server
from tests.support.simulator import RunningSimulator

LIST = "/admin/generations/comfyserver/"
SECRET = "Bearer secret-of-the-proxy"


def change(admin: Client, server: ComfyServer, **fields: Any) -> Any:
    data = {
        "name": server.name, "url": server.url, "slots": 2, "is_enabled": "on", "auth_header_value": "",
        "auth_header_name": server.auth_header_name, **fields,
    }  # fmt: skip
    response = admin.post(f"{LIST}{server.pk}/change/", data)
    server.refresh_from_db()
    return response


def test_server_is_added_with_a_header(admin: Client) -> None:
    data = {"name": "gpu", "url": "http://gpu:8188/", "slots": 3, "is_enabled": "on",
            "auth_header_name": "Authorization", "auth_header_value": SECRET}  # fmt: skip
    assert admin.post(f"{LIST}add/", data).status_code == 302
    server = ComfyServer.objects.get()
    assert (server.url, server.slots, server.headers) == ("http://gpu:8188", 3, {"Authorization": SECRET})


def test_stored_header_is_never_shown(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    pages = [admin.get(LIST), admin.get(f"{LIST}{server.pk}/change/"), change(admin, server, url="nonsense")]
    for page in pages:
        assert page.status_code == 200
        assert "secret-of-the-proxy" not in page.content.decode()


def test_blank_header_keeps_the_stored_one(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    assert change(admin, server, slots=5).status_code == 302
    assert (server.headers, server.slots) == ({"Authorization": SECRET}, 5)


def test_header_can_be_replaced_and_forgotten(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    change(admin, server, auth_header_value="Bearer new")
    assert server.headers == {"Authorization": "Bearer new"}
    change(admin, server, clear_auth_header="on")
    assert (server.headers, server.auth_header_value) == ({}, None)


def test_header_needs_both_halves(admin: Client) -> None:
    server = make_server()
    page = change(admin, server, auth_header_name="Authorization")
    assert "both the header" in str(page.context["adminform"].form.errors)


@pytest.mark.parametrize("url", ["", "ftp://x", "nonsense", "http://", "http://h:8188/?a=b"])
def test_address_must_make_sense(admin: Client, url: str) -> None:
    page = admin.post(f"{LIST}add/", {"name": "one", "url": url, "slots": 2})
    assert list(page.context["adminform"].form.errors) == ["url"]


def test_check_now_says_what_the_server_answered_and_learns_its_nodes(
    admin: Client, simulator: RunningSimulator
) -> None:
    server = make_server(url=simulator.url)
    page = admin.post(f"{LIST}{server.pk}/check/", follow=True)
    assert "one answers: ComfyUI 0.3.64" in page.content.decode()
    server.refresh_from_db()
    assert (server.state, server.comfyui_version) == ("online", "0.3.64")
    assert "KSampler" in (server.object_info or {})


def test_check_now_of_several_says_which_are_down(admin: Client, simulator: RunningSimulator) -> None:
    up, down = make_server("up", simulator.url), make_server("down", "http://127.0.0.1:1", object_info=None)
    data = {"action": "check_now", "_selected_action": [up.pk, down.pk]}
    html = admin.post(LIST, data, follow=True).content.decode()
    assert "up answers" in html
    assert "down: ComfyUI at http://127.0.0.1:1 cannot be reached" in html
    down.refresh_from_db()
    assert (down.state, down.object_info) == ("unreachable", None)


def test_checking_is_no_link_and_needs_the_right(admin: Client, helper: Any) -> None:
    server = make_server(url="http://127.0.0.1:1")
    assert admin.get(f"{LIST}{server.pk}/check/").status_code == 405
    client = helper("view_comfyserver")
    assert client.post(f"{LIST}{server.pk}/check/").status_code == 403
    assert f"{server.pk}/check/" not in client.get(f"{LIST}{server.pk}/change/").content.decode()


def test_server_with_work_is_not_deleted(admin: Client, owner: Any) -> None:
    server = make_server()
    generation = make_generation(owner, status=Status.RUNNING, server=server)
    assert admin.post(f"{LIST}{server.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [server.pk], "post": "yes"})
    assert ComfyServer.objects.exists()
    type(generation).objects.update(status=Status.CANCELED, finished_at=generation.created_at)
    admin.post(f"{LIST}{server.pk}/delete/", {"post": "yes"})
    assert not ComfyServer.objects.exists()


def test_states_are_told_in_one_word(admin: Client) -> None:
    make_server(state="online", is_draining=True)
    make_server("stuck", "http://b", state="wedged", state_message="Restart it.")
    page = admin.get(LIST).content.decode()
    assert "Draining" in page
    assert "Stuck" in page
    assert "Restart it." in page


def test_a_server_is_drained_in_the_admin(admin: Client) -> None:
    server = make_server()
    assert change(admin, server, is_draining="on").status_code == 302
    assert server.is_draining


def test_keeping_its_history_is_a_setting_of_a_server(admin: Client) -> None:
    server = make_server()
    assert change(admin, server, is_history_kept="on").status_code == 302
    assert server.is_history_kept


def test_asking_a_stuck_server_does_not_make_it_well(admin: Client, simulator: RunningSimulator) -> None:
    server = make_server(url=simulator.url, state="wedged", state_message="Restart it.")
    response = admin.post(f"{LIST}{server.pk}/check/", follow=True)
    assert "it is stuck" in response.content.decode()
    server.refresh_from_db()
    assert server.state == "wedged"
    assert server.seen_at is not None


def test_header_stays_with_the_address_that_it_was_given_for(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    page = change(admin, server, url="http://evil.example:8188")
    assert page.status_code == 302
    assert (server.url, server.headers, server.auth_header_value) == ("http://evil.example:8188", {}, None)
    assert "Enter it again" in admin.get(f"{LIST}{server.pk}/change/").content.decode()


@pytest.mark.parametrize("value", [SECRET, "Bearer another"])
def test_header_that_comes_with_the_new_address_is_sent_there(admin: Client, value: str) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    change(admin, server, url="http://moved:8188", auth_header_value=value)
    assert (server.url, server.headers) == ("http://moved:8188", {"Authorization": value})


def test_the_same_address_written_otherwise_keeps_the_header(admin: Client) -> None:
    server = make_server(auth_header_name="Authorization", auth_header_value=SECRET)
    change(admin, server, url=f"{server.url}/")
    assert server.headers == {"Authorization": SECRET}
