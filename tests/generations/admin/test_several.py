"""Several files dropped on the studio at once: a template each, and a report."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import User
from generations.admin import several
from generations.models import WorkflowTemplate
from tests.generations.studio.test_batches import graph
from tests.support.archives import zipped
from tests.support.factories import make_server, make_template
from tests.support.workflows import OBJECT_INFO, editor_workflow

ADDRESS = "/admin/generations/workflowtemplate/import/"
pytestmark = pytest.mark.django_db


def send(browser: Client, *files: tuple[str, bytes], **data: Any) -> Any:
    return browser.post(ADDRESS, {"file": [SimpleUploadedFile(*each) for each in files], **data})


def titles() -> list[str]:
    return sorted(WorkflowTemplate.objects.values_list("title", flat=True))


def test_each_file_becomes_a_template_and_a_bad_one_stops_none(admin: Client) -> None:
    response = send(admin, ("cats.json", graph("1")), ("broken.json", b'{"1": '), ("dogs.json", graph("2")))
    html = response.content.decode()
    assert response.status_code == 200
    assert "2 made, 1 refused." in html and "It may be cut off" in html
    assert titles() == ["Cats", "Dogs"]
    for template in WorkflowTemplate.objects.all():
        assert f"/admin/generations/workflowtemplate/{template.pk}/studio/" in html
    assert sorted(entry.get_change_message() for entry in LogEntry.objects.all()) == [
        "Imported cats.json.",
        "Imported dogs.json.",
    ]


def test_script_gets_the_lines_alone_of_a_file_by_itself(admin: Client) -> None:
    response = send(admin, ("cats.json", graph()), one_of_several="1", start="0")
    html = response.content.decode()
    assert "<html" not in html and 'data-outcome="made"' in html and "Users may set Prompt" in html
    assert (response["X-Files-Read"], response["X-Files-Total"]) == ("0", "0")
    assert 'data-outcome="known"' in send(admin, ("b.json", graph()), one_of_several="1").content.decode()
    assert 'data-outcome="refused"' in send(admin, ("b.txt", b"hello"), one_of_several="1").content.decode()


def test_archive_becomes_a_template_of_each_workflow_in_it(admin: Client) -> None:
    html = send(admin, ("all.zip", zipped({"cats.json": graph("1"), "README": b"hello"}))).content.decode()
    assert "1 made, 1 skipped." in html and "all.zip/README" in html
    assert titles() == ["Cats"]


def test_long_archive_is_gone_on_with_in_the_next_request(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "SECONDS", 0.0)
    content = zipped({"a1.json": graph("1"), "b2.json": graph("2"), "c3.json": graph("3")})
    read = []
    for start in range(3):
        response = send(admin, ("all.zip", content), one_of_several="1", start=start)
        read.append((response["X-Files-Read"], response["X-Files-Total"]))
    assert read == [("1", "3"), ("2", "3"), ("3", "3")]
    assert WorkflowTemplate.objects.count() == 3
    assert "2 more files of the ZIP" in send(admin, ("all.zip", content)).content.decode()


@pytest.mark.parametrize(
    ("content", "words"), [(zipped({}), "There is no file in this ZIP"), (b"PK\x03\x04", "cut off")]
)
def test_archive_that_cannot_be_read_is_refused(admin: Client, content: bytes, words: str) -> None:
    html = send(admin, ("all.zip", content)).content.decode()
    assert "1 refused." in html and words in html


def test_too_many_files_are_refused_before_one_is_read(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "MAX_FILES", 1)
    html = send(admin, ("cats.json", graph("1")), ("dogs.json", graph("2"))).content.decode()
    assert "You sent 2 files, and at most 1 can be read at a time. Nothing was read" in html
    assert titles() == []


def test_chosen_server_counts_for_all_and_one_that_is_gone_is_named(admin: Client) -> None:
    server = make_server(object_info=OBJECT_INFO)
    bare = make_server("bare", "http://127.0.0.1:2", object_info={"Nothing": {}})
    workflow = ("cats.json", json.dumps(editor_workflow()).encode())
    assert 'data-outcome="refused"' in send(admin, workflow, one_of_several="1", server=bare.pk).content.decode()
    assert "not in use any more" in send(admin, workflow, one_of_several="1", server="99").content.decode()
    assert 'data-outcome="made"' in send(admin, workflow, one_of_several="1", server=server.pk).content.decode()


def test_template_that_exists_takes_one_workflow(admin: Client) -> None:
    template = make_template()
    address = f"/admin/generations/workflowtemplate/{template.pk}/studio/import/"
    two = [SimpleUploadedFile("a.json", graph("1")), SimpleUploadedFile("b.json", graph("2"))]
    response = admin.post(address, {"file": two})
    assert response.status_code == 422 and "a template has a single workflow" in response.content.decode()
    response = admin.post(address, {"file": SimpleUploadedFile("a.zip", zipped({"a.json": graph()}))})
    assert response.status_code == 422 and "This is a ZIP archive" in response.content.decode()


def test_single_file_that_was_here_before_is_said(admin: Client) -> None:
    send(admin, ("cats.json", graph()))
    response = admin.post(ADDRESS, {"file": SimpleUploadedFile("cats.json", graph())}, follow=True)
    known = WorkflowTemplate.objects.earliest("pk").pk
    link = f'<a class="underline" href="/admin/generations/workflowtemplate/{known}/studio/">“Cats”</a>'
    assert f"The same file was imported before: {link} was made from it, too." in response.content.decode()
    assert titles() == ["Cats", "Cats"]


def test_only_staff_who_may_add_templates_import(
    owner: User, client_for: Callable[[User], Client], helper: Callable[..., Client], client: Client
) -> None:
    for browser in (client, client_for(owner)):
        assert send(browser, ("a.json", graph("1")), ("b.json", graph("2"))).status_code == 302  # to the sign-in
    viewer = helper("view_workflowtemplate", "change_workflowtemplate")
    assert send(viewer, ("a.json", graph("1")), ("b.json", graph("2"))).status_code == 403
    assert titles() == []
    adder = helper_with(helper, "add_workflowtemplate")
    assert send(adder, ("a.json", graph("1")), ("b.json", graph("2"))).status_code == 200


def helper_with(helper: Callable[..., Client], *permissions: str) -> Client:
    User.objects.filter(email="helper@example.com").delete()
    return helper(*permissions)


def test_what_is_left_is_counted_for_each_archive(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "SECONDS", 0.0)
    first = zipped({"a1.json": graph("1"), "b2.json": graph("2"), "c3.json": graph("3")})
    second = zipped({"d4.json": graph("4"), "e5.json": graph("5")})
    html = " ".join(send(admin, ("one.zip", first), ("two.zip", second)).content.decode().split())
    assert "<strong>one.zip</strong> <p>2 more files of the ZIP" in html
    assert "<strong>two.zip</strong> <p>1 more file of the ZIP" in html


def test_empty_archive_behind_another_has_a_line(admin: Client) -> None:
    html = send(admin, ("one.zip", zipped({"cats.json": graph()})), ("two.zip", zipped({}))).content.decode()
    assert "1 made, 1 refused." in html and "There is no file in this ZIP" in html


def test_more_files_than_anybody_meant_to_take_are_refused_with_the_same_sentence(admin: Client) -> None:
    response = send(admin, *((f"{n}.json", b"{}") for n in range(101)))
    assert response.status_code == 200
    assert "You sent 101 files, and at most 50 can be read at a time. Nothing was read" in response.content.decode()


@pytest.mark.parametrize("start", ["x", "-1", "2001"])
def test_bad_position_is_not_blamed_on_the_server(admin: Client, start: str) -> None:
    html = send(admin, ("a.zip", zipped({"a.json": graph()})), one_of_several="1", start=start).content.decode()
    assert "a number from 0 to 2,000" in html and "server" not in html


def test_name_of_an_upload_that_is_too_long_is_explained(admin: Client) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{"x" * 10_000}.json"\r\n\r\n'
    response = admin.post(ADDRESS, f"{head}{{}}\r\n--b--\r\n", content_type="multipart/form-data; boundary=b")
    assert response.status_code == 400 and "about 900 characters" in response.content.decode()
