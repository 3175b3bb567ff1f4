"""GET /jobs and what is done with many of them; variations; rerun; delete."""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import Plan, User
from generations.api import job_queries
from generations.files import inputs
from generations.models import Asset, Generation, Status, WorkflowTemplate
from tests.api.envelope import error_of
from tests.support.factories import make_asset, make_generation, make_output, make_template, parameter, txt2img_graph
from tests.support.pictures import png
from tests.support.receiver import receiver

URL = "/api/v2/jobs"
RUN = "/api/v2/templates/text-to-image/jobs"
SUMMARY_KEYS = {
    "id", "status", "template", "created_by", "created_at", "started_at", "completed_at",
    "outputs", "error", "warnings", "metadata",
    "urls", "create_time", "update_time",
}  # fmt: skip


def ids(client: Client, **query: Any) -> list[str]:
    response = client.get(URL, query)
    assert response.status_code == 200, response.content
    return [each["id"] for each in response.json()["jobs"]]


def send(client: Client, path: str, body: Any, **options: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", **options)


def test_pages_have_every_job_once_newest_first(api: Client, owner: User, stranger: User) -> None:
    now = timezone.now()
    made = [make_generation(owner, created_at=now - timedelta(minutes=number // 2)) for number in range(7)]
    make_generation(stranger)
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get(URL, {"limit": 2, "cursor": cursor}).json()
        assert len(page["jobs"]) <= 2
        seen += [each["id"] for each in page["jobs"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(str(each.pk) for each in made)
    moments = [Generation.objects.get(pk=pk).created_at for pk in seen]
    assert moments == sorted(moments, reverse=True)


def test_a_job_in_a_list_has_what_the_schema_says_and_no_more(api: Client, owner: User) -> None:
    make_generation(owner)
    assert [set(each) for each in api.get(URL).json()["jobs"]] == [SUMMARY_KEYS]


def test_filters(api: Client, owner: User) -> None:
    for slug in ("text-to-image", "other"):
        make_template(slug, position=len(slug) == 5)
    now = timezone.now()
    old = make_generation(owner, status=Status.FAILED, created_at=now - timedelta(days=2), text="a grün fox")
    running = make_generation(owner, status=Status.STORING)
    stopping = make_generation(owner, status=Status.RUNNING, cancel_requested_at=now)
    there = make_generation(owner, template=WorkflowTemplate.objects.get(slug="other"))
    assert ids(api, status="failed") == [str(old.pk)]
    assert ids(api, status="running") == [str(running.pk)]
    assert ids(api, status="canceling") == [str(stopping.pk)]
    assert set(ids(api, status=["failed", "running"])) == {str(old.pk), str(running.pk)}
    assert set(ids(api, status=["canceling", "running"])) == {str(stopping.pk), str(running.pk)}
    assert ids(api, template="other") == [str(there.pk)]
    assert len(ids(api, template="text-to-image")) == 3
    assert ids(api, q="GRÜN fox") == [str(old.pk)]
    assert ids(api, q="fox hound") == []
    assert ids(api, created_before=(now - timedelta(days=1)).isoformat()) == [str(old.pk)]
    assert str(old.pk) not in ids(api, created_after=(now - timedelta(days=1)).isoformat())


def pages(client: Client, **query: Any) -> list[list[str]]:
    """The ids of each page, to the last one."""
    found, cursor = [], ""
    while cursor is not None:
        body = client.get(URL, {**query, "cursor": cursor}).json()
        found.append([each["id"] for each in body["jobs"]])
        cursor = body["next_cursor"]
    return found


@pytest.fixture
def seven(owner: User, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the owner's jobs, newest first, of which one page looks at two or three at most."""
    monkeypatch.setattr(job_queries, "LOOK_FIRST_AT", 2)
    monkeypatch.setattr(job_queries, "LOOK_AT", 3)
    now = timezone.now()
    return [
        str(make_generation(
            owner, status=Status.SUCCEEDED, text=f"{word} 狐", metadata={"client": word},
            created_at=now - timedelta(minutes=number // 2),
        ).pk)
        for number, word in enumerate(["dog", "fox", "dog", "dog", "fox", "dog", "fox"])
    ]  # fmt: skip


def test_what_an_index_finds_fills_its_pages(api: Client, seven: list[str]) -> None:
    foxes = [pk for pk in ids(api) if pk in {seven[1], seven[4], seven[6]}]
    assert pages(api, q="fox", limit=2) == [foxes[:2], foxes[2:]]
    assert pages(api, q="fox 狐", limit=5) == [foxes]
    assert pages(api, q="hound", limit=5) == [[]]
    assert [pk for page in pages(api, q="狐 fox", limit=1) for pk in page] == foxes


@pytest.mark.parametrize("query", [{"q": "ox"}, {"metadata[client]": "fox"}, {"q": "狐", "metadata[client]": "fox"}])
def test_what_no_index_finds_is_looked_for_in_some_jobs_at_a_time(
    api: Client, seven: list[str], query: dict[str, str]
) -> None:
    everything = ids(api)
    foxes = [pk for pk in everything if pk in {seven[1], seven[4], seven[6]}]
    found = pages(api, limit=5, **query)
    assert [pk for page in found for pk in page] == foxes
    assert found == [[pk for pk in everything[at : at + 3] if pk in foxes] for at in (0, 3, 6)]
    assert pages(api, limit=5, **{**query, "q": "y"}) == [[], [], []]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status=done", "invalid_request"), ("limit=0", "invalid_request"), ("limit=201", "invalid_request"),
        ("cursor=nonsense", "invalid_cursor"), ("cursor=%F0%9F", "invalid_cursor"),
        ("created_after=yesterday", "invalid_request"), ("created_after=2026-01-01T00:00:00", "invalid_request"),
        ("created_before=0001-01-01T00:00:00%2B16:34", "invalid_request"),
        ("metadata[0]=x", "invalid_metadata_filter"), ("metadata[]=x", "invalid_metadata_filter"),
        ("q=%00", "invalid_request"), ("template=%00", "invalid_request"),
    ],
)  # fmt: skip
def test_wrong_queries_are_named(api: Client, query: str, code: str) -> None:
    error_of(api.get(f"{URL}?{query}"), 422, code)


def test_a_page_costs_the_same_however_many_jobs(api: Client, owner: User, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        make_output(make_generation(owner, status=Status.SUCCEEDED))
    ids(api)
    with django_assert_max_num_queries(4):  # the key, the jobs, their outputs, their files
        ids(api)


@pytest.mark.usefixtures("known_server")
def test_variations_are_made_together_with_a_seed_each(api: Client) -> None:
    make_template()
    body = send(api, RUN, {"inputs": {"prompt": "x"}, "count": 3, "metadata": {"set": "1"}}).json()
    seeds = {job["inputs"]["seed"] for job in body["jobs"]}
    assert len(seeds) == len({job["id"] for job in body["jobs"]}) == 3
    assert ids(api, **{"metadata[set]": "1"}) == [job["id"] for job in reversed(body["jobs"])]
    counted = send(api, RUN, {"inputs": {"prompt": "x", "seed": str(2**64 - 2)}, "count": 3}).json()
    assert [job["inputs"]["seed"] for job in counted["jobs"]] == [str(2**64 - 2), str(2**64 - 1), "0"]
    assert len(send(api, RUN, {"inputs": {"prompt": "x"}, "count": 1}).json()["jobs"]) == 1


@pytest.mark.usefixtures("known_server")
def test_variations_are_all_queued_or_none(api: Client, owner: User) -> None:
    make_template()
    owner.plan = Plan.objects.create(name="two", max_queued=2)
    owner.save()
    error_of(send(api, RUN, {"inputs": {"prompt": "x"}, "count": 3}), 429, "queue_full")
    assert not Generation.objects.exists()
    assert send(api, RUN, {"inputs": {"prompt": "x"}, "count": 2}).status_code == 201


@pytest.mark.usefixtures("known_server")
def test_variations_of_what_draws_nothing_are_refused(api: Client) -> None:
    make_template(parameters=[parameter("prompt", "text", "6", "text")])
    error = error_of(send(api, RUN, {"inputs": {"prompt": "x"}, "count": 2}), 422, "invalid_inputs")
    assert list(error["details"]["fields"]) == ["count"]
    assert send(api, RUN, {"inputs": {"prompt": "{x|y}"}, "count": 2}).status_code == 201


@pytest.mark.parametrize("field", [{"count": 0}, {"count": 33}, {"metadata": {"": "x"}}, {"webhook": "x"}, {"more": 1}])
def test_wrong_options_are_refused(api: Client, field: dict[str, Any]) -> None:
    make_template()
    assert send(api, RUN, {"inputs": {"prompt": "x"}, **field}).status_code == 422
    assert not Generation.objects.exists()


@pytest.mark.usefixtures("known_server")
def test_rerun_keeps_the_inputs_but_for_what_is_changed(api: Client) -> None:
    make_template()
    job = send(api, RUN, {"inputs": {"prompt": "x", "seed": "5"}}).json()
    same = send(api, job["urls"]["rerun"], {}).json()
    fresh = send(api, job["urls"]["rerun"], {"new_seed": True}).json()
    changed = send(api, job["urls"]["rerun"], {"inputs": {"prompt": "y"}, "metadata": {"k": "v"}}).json()
    assert same["inputs"] == job["inputs"]
    assert fresh["inputs"]["seed"] != "5"
    assert (changed["inputs"], changed["metadata"]) == ({**job["inputs"], "prompt": "y"}, {"k": "v"})
    error_of(send(api, job["urls"]["rerun"], {"inputs": {"steps": 9999}}), 422, "invalid_inputs")


def test_delete_is_for_finished_ones(api: Client, owner: User, eager_tasks: None) -> None:
    active, done = make_generation(owner), make_generation(owner, status=Status.SUCCEEDED)
    make_output(done)
    error_of(api.delete(f"{URL}/{active.pk}"), 409, "job_not_finished")
    assert api.delete(f"{URL}/{done.pk}").status_code == 204
    error_of(api.delete(f"{URL}/{done.pk}"), 404, "not_found")
    assert not Asset.objects.exists()


def test_bulk_says_what_became_of_each(api: Client, owner: User, stranger: User, eager_tasks: None) -> None:
    queued, running = make_generation(owner), make_generation(owner, status=Status.RUNNING)
    done, theirs = make_generation(owner, status=Status.FAILED), make_generation(stranger)
    every = [str(each.pk) for each in (queued, running, done, theirs)] + [str(uuid.uuid4())]
    body = send(api, f"{URL}/bulk", {"action": "cancel", "ids": every}).json()
    found = [each["result"] for each in body["results"]]
    assert found == ["canceled", "canceling", "already_finished", "not_found", "not_found"]
    body = send(api, f"{URL}/bulk", {"action": "delete", "ids": every}).json()
    found = [each["result"] for each in body["results"]]
    assert found == ["deleted", "not_finished", "deleted", "not_found", "not_found"]
    assert set(Generation.objects.all()) == {running, theirs}
    theirs.refresh_from_db()
    assert theirs.status == Status.QUEUED
    error_of(send(api, f"{URL}/bulk", {"action": "explode", "ids": every}), 422, "invalid_request")
    error_of(send(api, f"{URL}/bulk", {"action": "cancel", "ids": []}), 422, "invalid_request")


# ---------------------------------------------------------------------------------------------- files for inputs
@pytest.fixture
def invert(db: None) -> str:
    """Where to run a template that takes a picture."""
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
    }
    make_template("invert", graph=graph, parameters=[parameter("photo", "image", "1", "image", required=True)])
    return "/api/v2/templates/invert/jobs"


def asset_of(response: Any) -> Asset:
    assert response.status_code == 201, response.content
    generation = Generation.objects.get(pk=response.json()["id"])
    asset = generation.input_assets.get()
    assert generation.inputs == {"photo": str(asset.pk)}
    return asset


@pytest.mark.usefixtures("known_server")
def test_a_picture_comes_as_an_asset(api: Client, owner: User, invert: str) -> None:
    asset = make_asset(owner)
    assert asset_of(send(api, invert, {"inputs": {"photo": str(asset.pk)}})) == asset
    reference = {"__type": "core/ASSET", "info": {"id": str(asset.pk)}}
    assert asset_of(send(api, invert, {"inputs": {"photo": reference}})) == asset


@pytest.mark.usefixtures("known_server")
def test_a_picture_comes_with_the_request(api: Client, owner: User, invert: str) -> None:
    data = {"photo": SimpleUploadedFile("a.png", png("blue")), "metadata": '{"a": "b"}'}
    asset = asset_of(api.post(invert, data))
    assert (asset.user, asset.name, asset.content_type) == (owner, "a.png", "image/png")


@pytest.mark.usefixtures("known_server")
def test_a_picture_comes_as_a_data_url(api: Client, invert: str) -> None:
    import base64

    url = f"data:image/png;base64,{base64.b64encode(png('green')).decode()}"
    assert asset_of(send(api, invert, {"inputs": {"photo": url}})).content_type == "image/png"


@pytest.mark.usefixtures("known_server")
def test_a_picture_is_fetched(api: Client, invert: str, settings: Any) -> None:
    import ipaddress

    settings.OUTBOUND_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    with receiver() as other:
        other.body = png("navy")
        asset = asset_of(send(api, invert, {"inputs": {"photo": f"{other.url}/some/navy.png?x=1"}}))
        assert asset.name == "navy.png"
        other.statuses = [404]
        error_of(send(api, invert, {"inputs": {"photo": f"{other.url}/gone.png"}}), 422, "invalid_inputs")


def test_only_so_many_files_of_one_user_are_fetched_at_a_time(api: Client, owner: User, invert: str) -> None:
    body = {"inputs": {"photo": "https://127.0.0.1/a.png"}}
    with ExitStack() as stack:
        for _ in range(inputs.fetches.per_user):
            stack.enter_context(inputs.fetches.one_more(owner.pk))
        response = send(api, invert, body)
        error_of(response, 429, "too_busy")
        assert int(response["Retry-After"]) > 0
    error_of(send(api, invert, body), 422, "invalid_inputs")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("http://example.com/a.png", "https://"), ("https://127.0.0.1/a.png", "private"),
        ("https://localhost/a.png", "could not be reached"), ("data:image/png;base64,%%%", "base64"),
        ("data:nonsense", "cannot be read"), ("data:,", "empty"), ("data:text/plain,hello", "picture"),
        ({"url": "https://10.0.0.1/"}, "private"), (str(uuid.UUID(int=5)), "no file with"), (7, ""), ({"x": 1}, ""),
    ],
)  # fmt: skip
def test_a_picture_that_is_none_is_refused_by_name(api: Client, invert: str, value: Any, sentence: str) -> None:
    error = error_of(send(api, invert, {"inputs": {"photo": value}}), 422, "invalid_inputs")
    assert sentence in error["details"]["fields"]["photo"][0]
    assert not Generation.objects.exists()


@pytest.mark.usefixtures("known_server")
def test_a_form_gives_inputs_as_fields_or_as_json(api: Client) -> None:
    make_template(graph=txt2img_graph())
    one = api.post(RUN, {"prompt": "a cat", "steps": "3"}).json()
    two = api.post(RUN, {"inputs": '{"prompt": "a cat", "steps": 3}', "count": "1"}).json()["jobs"][0]
    for job in (one, two):
        assert (job["inputs"]["prompt"], job["inputs"]["steps"]) == ("a cat", 3)
    error_of(api.post(RUN, {"inputs": "{"}), 400, "invalid_request")
    error_of(api.post(RUN, {"prompt": "a", "extra": SimpleUploadedFile("a.png", png())}), 422, "invalid_inputs")
