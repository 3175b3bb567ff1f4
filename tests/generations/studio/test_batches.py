"""Many files: each becomes a template or a line that says why not, and the same file only one."""

from __future__ import annotations

import io
import json
import threading
from typing import Any, cast

import pytest
from django.db import connection

from generations.models import TemplateDraft, WorkflowTemplate
from generations.scheduling import catalogs
from generations.studio import batches, drafts, importing, intake, making, publishing
from generations.studio.batches import Batch, Line, Options, Outcome, summary
from tests.support.archives import zipped
from tests.support.factories import make_server, txt2img_graph
from tests.support.pictures import png
from tests.support.threads import at_once
from tests.support.workflows import OBJECT_INFO, editor_workflow, with_models

pytestmark = pytest.mark.django_db


def graph(text: str = "a cat") -> bytes:
    found = txt2img_graph()
    found["6"]["inputs"]["text"] = text
    return json.dumps(found).encode()


def unpacked(batch: Batch, files: dict[str, bytes], start: int = 0) -> list[Line]:
    return [line for _at, _total, line in batch.unpack("all.zip", io.BytesIO(zipped(files)), start=start)]


def test_file_becomes_a_template_with_proposals(staff: Any) -> None:
    line = Batch(staff, OBJECT_INFO).take("portraits/t_lora.ui.json", json.dumps(editor_workflow()).encode())
    template = WorkflowTemplate.objects.get()
    assert (line.outcome, line.template, template.title) == (Outcome.MADE, template, "T LoRA")
    assert line.parameters[:2] == ["Prompt", "Negative prompt"]
    assert template.published_version is None
    draft = drafts.draft_of(template)
    assert (draft.source, draft.changed_by) == ("portraits/t_lora.ui.json", staff)


def test_same_bytes_make_one_template_whatever_they_are_called(staff: Any) -> None:
    batch = Batch(staff, OBJECT_INFO)
    first, again = batch.take("cats.json", graph()), batch.take("copy/other.json", graph())
    assert (again.outcome, again.template) == (Outcome.KNOWN, first.template)
    assert "“Cats” was made from the same file" in again.reason
    assert Batch(None, OBJECT_INFO).take("cats.json", graph()).outcome == Outcome.KNOWN
    assert Batch(None, OBJECT_INFO).take("cats.json", graph("a dog")).outcome == Outcome.MADE
    assert [each.title for each in WorkflowTemplate.objects.order_by("pk")] == ["Cats", "Cats"]


def test_file_of_a_deleted_template_makes_a_new_one_and_that_of_a_copy_does_not(staff: Any) -> None:
    batch = Batch(staff, OBJECT_INFO)
    made = batch.take("cats.json", graph()).template
    assert made is not None
    copy = making.duplicate(made, staff)
    assert batch.take("cats.json", graph()).template == made
    made.delete()
    line = batch.take("cats.json", graph())
    assert line.outcome == Outcome.MADE and line.template != copy


def test_file_makes_a_new_template_when_the_first_one_lost_its_only_draft(staff: Any) -> None:
    batch = Batch(staff, OBJECT_INFO)
    emptied, published = batch.take("cats.json", graph()).template, batch.take("dogs.json", graph("a dog")).template
    assert emptied is not None and published is not None
    publishing.publish(published, None, user=staff, object_info=OBJECT_INFO, is_confirmed=True)
    for each in (emptied, published):
        drafts.discard(each)
    line = batch.take("cats.json", graph())
    assert line.outcome == Outcome.MADE and line.template != emptied
    assert batch.take("cats.json", graph()).template == line.template
    assert batch.take("dogs.json", graph("a dog")).template == published


def test_no_file_stops_those_behind_it(staff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fancy = editor_workflow("bypass_lora")
    for node in fancy["nodes"]:
        node["type"] = node["type"].replace("CLIPTextEncode", "FancyEncode")
    files = {
        "broken.json": b'{"1": {"class',
        "fancy.json": json.dumps(fancy).encode(),
        "README.md": b"hello",
        "photo.png": png(),
        "inner.zip": zipped({"a.json": graph()}),
        "good.json": graph(),
        "again.json": graph(),
    }
    lines = unpacked(Batch(staff, OBJECT_INFO), files)
    assert [(line.source, line.outcome.value) for line in lines] == [
        ("all.zip/broken.json", "refused"),
        ("all.zip/fancy.json", "refused"),
        ("all.zip/README.md", "skipped"),
        ("all.zip/photo.png", "skipped"),
        ("all.zip/inner.zip", "skipped"),
        ("all.zip/good.json", "made"),
        ("all.zip/again.json", "known"),
    ]
    assert "(nodes 6, 7)" in lines[1].reason
    assert "ZIP inside a ZIP" in lines[4].reason
    assert summary(lines) == "1 made, 1 already here, 3 skipped, 2 refused."


def test_archive_is_gone_on_with_where_it_was_left(staff: Any) -> None:
    files = {"a.json": graph("a"), "b.json": graph("b")}
    assert [line.source for line in unpacked(Batch(staff, OBJECT_INFO), files, start=1)] == ["all.zip/b.json"]
    outcomes = [line.outcome for line in unpacked(Batch(staff, OBJECT_INFO), files)]
    assert outcomes == [Outcome.MADE, Outcome.KNOWN]


def test_file_that_somebody_chose_is_refused_where_others_are_skipped(staff: Any) -> None:
    batch = Batch(staff, OBJECT_INFO)
    assert batch.take("README.md", b"hello").outcome == Outcome.REFUSED
    assert batch.take("README.md", b"hello", is_chosen=False).outcome == Outcome.SKIPPED
    cut_off = png(prompt=txt2img_graph())[:200]
    assert batch.take("cut.png", cut_off, is_chosen=False).outcome == Outcome.REFUSED


def test_fault_of_ours_is_a_line_and_leaves_nothing_behind(staff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise KeyError("unexpected")

    batch = Batch(staff, OBJECT_INFO)
    with monkeypatch.context() as patched:
        patched.setattr(intake, "put", fail)
        line = batch.take("a.json", graph())
    assert (line.outcome, line.reason) == (Outcome.REFUSED, batches.OUR_FAULT)
    assert not WorkflowTemplate.objects.exists()
    assert batch.take("a.json", graph()).outcome == Outcome.MADE


def test_rehearsal_says_what_would_be_and_keeps_nothing(staff: Any) -> None:
    batch = Batch(staff, OBJECT_INFO, Options(is_rehearsal=True))
    assert [batch.take(name, graph()).outcome for name in ("a.json", "b.json")] == [Outcome.MADE, Outcome.KNOWN]
    assert not WorkflowTemplate.objects.exists() and not TemplateDraft.objects.exists()


def test_what_a_server_can_run_is_published_and_the_rest_says_why_not(staff: Any) -> None:
    make_server(object_info=OBJECT_INFO)
    batch = Batch(staff, catalogs.known_nodes(), Options(is_published=True, tags=["a", "b"], category="Portraits"))
    fit = batch.take("fit.json", json.dumps(editor_workflow()).encode())
    strange = {**txt2img_graph(), "50": {"class_type": "Strange", "inputs": {}}}
    unfit = batch.take("unfit.json", json.dumps(strange).encode())
    assert fit.is_published and fit.template is not None and fit.template.published_version is not None
    assert (fit.template.tags, fit.template.category) == (["a", "b"], "Portraits")
    assert not unfit.is_published and unfit.outcome == Outcome.MADE
    assert "Not published: The servers lack the node type Strange" in unfit.notes[-1]


def test_what_has_to_be_checked_first_stays_a_draft_with_its_flags(staff: Any) -> None:
    make_server(object_info=OBJECT_INFO)
    workflow = editor_workflow()
    workflow.setdefault("extra", {})["linearData"] = {"inputs": [["3", "steps"], ["3", "gone"]], "outputs": []}
    line = Batch(staff, catalogs.known_nodes(), Options(is_published=True)).take(
        "a.json", json.dumps(workflow).encode()
    )
    assert (line.outcome, line.is_published) == (Outcome.MADE, False)
    assert line.notes[-1] == "Not published: There is 1 thing to check in this workflow first."
    assert [flag["node_id"] for flag in TemplateDraft.objects.get().open_flags] == ["3"]


def test_what_no_server_can_run_is_noted(staff: Any) -> None:
    strange = json.dumps({**txt2img_graph(), "50": {"class_type": "Strange", "inputs": {}}}).encode()
    assert Batch(staff, None).take("a.json", strange).notes == []  # no server has told anything
    make_server(object_info=with_models("v1-5-pruned-emaonly-fp16.safetensors"))
    assert Batch(staff, None).take("fit.json", graph()).notes == []
    strange += b" "
    assert Batch(staff, None).take("b.json", strange).notes == ["The servers lack the node type Strange."]


def test_tags_of_a_package_stay(staff: Any) -> None:
    from generations.studio import packages
    from tests.support.factories import make_template, version_of

    make_template("ours", tags=["own"], category="Own")
    template = WorkflowTemplate.objects.get()
    package = json.dumps(packages.write(template, version_of(template))).encode()
    line = Batch(staff, with_models("x.safetensors"), Options(tags=["more", "own"])).take("p.json", package)
    assert line.template is not None
    assert (line.template.tags, line.template.category) == (["own", "more"], "Own")


def test_file_that_another_process_imported_meanwhile_is_known(staff: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read, others = importing.read, []

    def read_slowly(content: bytes, object_info: Any, **by: Any) -> importing.Imported:
        imported = read(content, object_info, **by)
        if not others:
            others.append(None)
            others[0] = Batch(None, OBJECT_INFO).take("cats.json", content)
        return imported

    monkeypatch.setattr(importing, "read", read_slowly)
    line = Batch(staff, OBJECT_INFO).take("cats.json", graph())
    assert (line.outcome, line.template) == (Outcome.KNOWN, WorkflowTemplate.objects.get())
    assert others[0].outcome == Outcome.MADE


@pytest.mark.django_db(transaction=True)
def test_same_file_at_the_same_moment_makes_one_template(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite lets one write at a time")
    together = threading.Barrier(4)
    read = importing.read

    def read_together(content: bytes, object_info: Any, **by: Any) -> importing.Imported:
        imported = read(content, object_info, **by)
        together.wait()
        return imported

    monkeypatch.setattr(importing, "read", read_together)
    lines = at_once(lambda: Batch(None, OBJECT_INFO).take("cats.json", graph()), times=4)
    assert sorted(line.outcome.value for line in cast("list[Line]", lines)) == ["known", "known", "known", "made"]
    assert WorkflowTemplate.objects.count() == 1


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"[![Build](x)](y) Read me.", b'{"name": "x", "scripts": {"a": "b"}}', b"[]", b"{{ template }}"],
)
def test_ordinary_files_are_passed_over_unless_somebody_chose_them(staff: Any, content: bytes) -> None:
    batch = Batch(staff, OBJECT_INFO)
    assert batch.take("x", content, is_chosen=False).outcome == Outcome.SKIPPED
    assert batch.take("x", content).outcome == Outcome.REFUSED


@pytest.mark.parametrize("content", [b'{"1": {"class', b'{"nodes": 5}', b'{"prompt": {}}', b'{"1": {"class_type": 5}}'])
def test_damaged_workflows_are_refused_wherever_they_are(staff: Any, content: bytes) -> None:
    assert Batch(staff, OBJECT_INFO).take("x", content, is_chosen=False).outcome == Outcome.REFUSED


def test_long_and_strange_names_of_entries_are_presentable(staff: Any) -> None:
    name = f"{'f' * 3000}/a\x1b\u202ecat.json"
    line = unpacked(Batch(staff, OBJECT_INFO), {name: graph()})[0]
    assert len(line.source) == 200 and line.source.isprintable() and line.source.endswith("/a\ufffd\ufffdcat.json")
    assert line.template is not None and line.template.title == "Acat"
