"""Whatever an admin drops becomes a graph, or a sentence that says what to do."""

from __future__ import annotations

import codecs
import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generations import origins
from generations.comfy.graph import GraphError
from generations.models import Generation, Status, TemplateVersion
from generations.scheduling import catalogs
from generations.studio import definitions, importing, making
from tests.comfy import test_embedded
from tests.support import drawn
from tests.support.factories import make_asset, make_generation, make_output, make_server, make_template, txt2img_graph
from tests.support.pictures import png, png_with
from tests.support.workflows import OBJECT_INFO, editor_workflow

pytestmark = pytest.mark.django_db
KEYS = [
    "prompt", "workflow", "output", "nodes", "links", "class_type", "inputs", "1", "2", "id", "type", "format",
    "revision", "graph", "parameters", "extra", "definitions", "subgraphs", "widgets_values", "outputs",
]  # fmt: skip


def read(value: Any, info: Any = OBJECT_INFO, **fields: Any) -> importing.Imported:
    return importing.read(value if isinstance(value, bytes) else json.dumps(value).encode(), info, **fields)


@pytest.mark.parametrize(
    "value",
    [
        txt2img_graph(),
        {"prompt": txt2img_graph()},
        {"prompt": txt2img_graph(), "workflow": editor_workflow()},
        {"output": txt2img_graph(), "workflow": editor_workflow()},
    ],
)
def test_api_format_is_taken_as_it_is(value: Any) -> None:
    assert read(value).graph == txt2img_graph()


@pytest.mark.parametrize("value", [editor_workflow(), {"workflow": editor_workflow()}])
def test_editor_format_is_converted(value: Any) -> None:
    imported = read(value)
    assert imported.graph["3"]["inputs"]["seed"] == 123456789
    assert imported.parameters is None


def test_what_the_editor_keeps_of_the_nodes_comes_along() -> None:
    workflow = editor_workflow()
    node = workflow["nodes"][0]
    node["properties"] = {"mine": 1}
    imported = read(workflow)
    assert imported.editor is not None
    assert set(imported.editor) <= set(imported.graph)
    assert imported.editor[str(node["id"])]["properties"] == {"mine": 1}


def test_byte_order_mark_and_blanks_do_no_harm() -> None:
    assert read(b"\xef\xbb\xbf \n" + json.dumps(txt2img_graph()).encode()).graph == txt2img_graph()


def test_nodes_that_no_result_needs_are_left_out() -> None:
    workflow = editor_workflow()
    workflow["nodes"].append({**workflow["nodes"][1], "id": 99, "inputs": []})
    imported = read(workflow)
    assert "99" not in imported.graph
    assert "1 of 8 nodes" in imported.notes[0]


def test_picture_with_both_gives_what_ran() -> None:
    imported = read(png(prompt=txt2img_graph(), workflow=editor_workflow()))
    assert imported.graph == txt2img_graph()


def with_app_mode(*inputs: Any, outputs: Any = ()) -> dict[str, Any]:
    workflow = editor_workflow()
    workflow.setdefault("extra", {})["linearData"] = {"inputs": list(inputs), "outputs": list(outputs)}
    return workflow


def test_what_the_author_chose_in_app_mode_comes_along() -> None:
    imported = read(with_app_mode(["3", "steps"], [6, "text"], ["99", "text"], outputs=["9"]))
    assert [each.name for each in imported.chosen] == ["steps", "prompt"]
    assert imported.output_nodes == ["9"]
    assert imported.notes == [
        "Taken from the workflow's app mode: 2 settings and the results of Save Image.",
        "The author wanted users to set “text” of node 99, which is not in the file; they cannot set it.",
    ]


def test_choice_that_is_empty_is_none() -> None:
    imported = read(with_app_mode())
    assert (imported.chosen, imported.output_nodes, imported.notes) == ([], [], [])


@pytest.mark.parametrize(
    "carrier",
    [
        lambda graph, workflow: png(prompt=graph, workflow=workflow),
        lambda graph, workflow: {"prompt": graph, "workflow": workflow},
        lambda graph, workflow: {"prompt": graph, "extra_data": {"extra_pnginfo": {"workflow": workflow}}},
    ],
)
def test_author_chose_in_the_workflow_beside_what_ran(carrier: Any) -> None:
    imported = read(carrier(txt2img_graph(), with_app_mode(["3", "steps"], outputs=["9"])))
    assert imported.graph == txt2img_graph()
    assert [each.name for each in imported.chosen] == ["steps"]
    assert imported.output_nodes == ["9"]
    assert read(carrier(txt2img_graph(), with_app_mode(["3", "steps"])), None).chosen[0].name == "steps"


def test_input_nodes_of_other_tools_say_what_users_set_unless_app_mode_does() -> None:
    workflow, graph = with_app_mode(["3", "steps"]), txt2img_graph()
    words = {"input_id": "subject", "display_name": "Subject", "default_value": "a fox"}
    graph["20"] = {"class_type": "ComfyUIDeployExternalText", "inputs": words}
    graph["21"] = {"class_type": "ComfyUIDeployExternalEXR", "inputs": {"input_id": "exr"}}
    graph["6"]["inputs"]["text"] = ["20", 0]
    imported = read(graph)
    assert [(each.name, each.label) for each in imported.chosen] == [("subject", "Subject")]
    assert imported.notes == [
        "Taken from the workflow's input nodes (ComfyDeploy): 1 setting.",
        "“ComfyUIDeployExternalEXR” (21) takes what no form can give, such as an address.",
    ]
    assert [each.name for each in read({"prompt": graph, "workflow": workflow}).chosen] == ["steps"]
    assert [each.name for each in read({"prompt": {}, "workflow": graph}).chosen] == ["subject"]


def test_picture_with_the_editors_workflow_alone_is_converted() -> None:
    assert read(png(workflow=editor_workflow())).graph["3"]["inputs"]["seed"] == 123456789


@pytest.mark.parametrize("kind", ["webp", "mp4", "webm", "flac", "mp3", "latent"])
def test_other_files_carry_workflows_too(kind: str) -> None:
    assert read(test_embedded.FILES[kind]()).graph["3"]["class_type"] == "KSampler"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "This is empty"),
        (b"   \n", "This is empty"),
        (b'{"1": {"class_type"', r"cannot be read as one \(line 1, column 20\)\. It may be cut off"),
        (b"[]", "no workflow"),
        (b"{}", "no workflow"),
        (b'{"nodes": [], "links": []}', "Nothing in this workflow would run"),
        (b"hello", "carries no workflow"),
        (png(), "a PNG without a workflow"),
        (json.dumps({"format": "comfysaas-template", "revision": 99}).encode(), "newer version of comfysaas"),
    ],
)
def test_refusal_says_what_to_do(content: bytes, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read(content)


def test_editor_format_needs_the_node_types_of_a_server() -> None:
    with pytest.raises(GraphError, match="Check now"):
        read(editor_workflow(), None)


def test_too_large_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_BYTES", 100)
    with pytest.raises(GraphError, match="larger than"):
        read(b"x" * 101)


def test_own_result_gives_back_template_and_inputs(owner: Any) -> None:
    generation = make_generation(
        owner,
        template=make_template("ours", title="Ours"),
        status=Status.SUCCEEDED,
        inputs={"prompt": "a fox", "seed": str(2**64 - 1), "steps": 9, "width": 256},
    )
    mark = {"generation": str(generation.pk), "template": "ours", "version": 1}
    imported = read(png(prompt={"1": {"class_type": "X", "inputs": {}}}, comfysaas=mark), by=owner)
    assert imported.parameters is not None
    defaults = {each["name"]: each.get("default") for each in imported.parameters}
    assert (defaults["prompt"], defaults["steps"], defaults["width"]) == ("a fox", 9, 256)
    assert defaults["seed"] is None  # a template with a fixed seed would make the same picture for everybody
    assert imported.graph["3"]["inputs"]["seed"] == 2**64 - 1
    assert imported.graph["6"]["inputs"]["text"] == "a fox"
    assert "Ours" in imported.notes[0]
    assert origins.origin_of(io.BytesIO(png(prompt={}, comfysaas=mark))) == generation


@pytest.mark.parametrize("who", ["staff", "nobody"])
def test_inputs_of_other_peoples_results_stay_private(owner: Any, staff: Any, who: str) -> None:
    made = {"template": make_template(), "status": Status.SUCCEEDED}
    generation = make_generation(owner, inputs={"prompt": "a secret", "seed": "7"}, **made)
    mark = {"generation": str(generation.pk), "template": "text-to-image", "version": 1}
    imported = read(png(prompt={"1": {"class_type": "X", "inputs": {}}}, comfysaas=mark), by={"staff": staff}.get(who))
    assert "a secret" not in repr(imported)
    assert imported.graph == generation.version.graph
    assert "private" in imported.notes[0]


def test_whole_workflows_of_others_stay_private(owner: Any, staff: Any) -> None:
    version = TemplateVersion.raw(graph=txt2img_graph(), created_by=owner)
    version.save()
    generation = make_generation(owner, status=Status.SUCCEEDED)
    Generation.objects.filter(pk=generation.pk).update(version=version)
    content = png(prompt={}, comfysaas={"generation": str(generation.pk), "template": "", "version": 1})
    assert read(content, by=owner).graph
    with pytest.raises(GraphError, match="Somebody else"):
        read(content, by=staff)


def test_own_result_without_metadata_is_known_by_its_bytes(owner: Any) -> None:
    generation = make_generation(owner, status=Status.SUCCEEDED)
    content = png("green")
    make_output(generation, asset=make_asset(owner, content))
    assert origins.origin_of(io.BytesIO(content)) == generation
    assert read(content).parameters is not None
    assert origins.origin_of(io.BytesIO(png("blue"))) is None


@pytest.mark.parametrize("claimed", ["no-id", "", None, 5, "00000000-0000-4000-8000-000000000000"])
def test_strange_mark_is_read_like_any_other_picture(claimed: Any) -> None:
    imported = read(png(prompt=txt2img_graph(), comfysaas={"generation": claimed}))
    assert imported.graph == txt2img_graph()
    assert imported.notes == [importing.NOT_OURS]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["KSampler", "6"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything)
def test_any_json_is_read_or_refused_and_nothing_worse(value: Any) -> None:
    try:
        imported = read(value)
    except GraphError as refusal:
        assert str(refusal)
        return
    assert definitions.proposals(imported.graph, OBJECT_INFO) is not None


def test_node_types_of_all_enabled_servers_count() -> None:
    assert catalogs.known_nodes() is None
    one = make_server("one", object_info={"A": {}})
    make_server("two", "http://127.0.0.1:2", object_info={"B": {}})
    make_server("off", "http://127.0.0.1:3", object_info={"C": {}}, is_enabled=False)
    assert set(catalogs.known_nodes() or {}) == {"A", "B"}
    assert set(catalogs.known_nodes(one) or {}) == {"A"}


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        [],
        "a castle",
        "",
        None,
        0,
        {"1": {"no": "node"}},
        {"6": 7},
        {"1": {"class_type": "A", "inputs": {"b": ["2", 0]}}},
    ],
)
def test_workflow_beside_a_prompt_that_is_none_is_imported(prompt: Any) -> None:
    both = {"prompt": prompt, "workflow": editor_workflow()}
    for content in (png(**both), both, {key: json.dumps(each) for key, each in both.items()}):
        assert read(content).graph["3"]["inputs"]["seed"] == 123456789


@pytest.mark.parametrize("workflow", [None, [], {}, "x", {"nodes": 5}, {"nodes": [None, {"id": {}}]}, {"nodes": []}])
def test_prompt_beside_a_workflow_that_is_none_is_imported(workflow: Any) -> None:
    both = {"prompt": txt2img_graph(), "workflow": workflow}
    for content in (png(**both), both):
        assert read(content).graph == txt2img_graph()


def test_where_both_differ_the_prompt_is_what_ran_and_the_workflow_adds_what_the_editor_keeps() -> None:
    workflow = editor_workflow()
    sampler = next(each for each in workflow["nodes"] if each["id"] == 3)
    sampler["properties"] = {"mine": 1}
    pair = {"prompt": txt2img_graph(), "workflow": workflow}
    body = {"prompt": txt2img_graph(), "extra_data": {"extra_pnginfo": {"workflow": workflow}}}
    for content in (png(**pair), pair, body):
        imported = read(content)
        assert imported.graph == txt2img_graph()
        assert imported.editor is not None and imported.editor["3"]["properties"] == {"mine": 1}


def test_api_graph_under_the_workflows_name_is_imported() -> None:
    for content in (png(workflow=txt2img_graph()), {"workflow": txt2img_graph()}):
        assert read(content).graph == txt2img_graph()


@pytest.mark.parametrize(
    "texts", [{"prompt": '{"1": {"cla'}, {"workflow": '{"nodes": ['}, {"prompt": "[", "workflow": "{"}]
)
def test_workflow_that_is_cut_off_is_not_called_missing(texts: dict[str, str]) -> None:
    with pytest.raises(GraphError, match="damaged or cut off"):
        read(png_with(texts))


def test_broken_text_does_no_harm_beside_a_whole_one() -> None:
    whole = {"workflow": json.dumps(editor_workflow()), "prompt": '{"1": {"cla'}
    assert read(png_with(whole)).graph["3"]["inputs"]["seed"] == 123456789
    whole = {"workflow": '{"nodes": [', "prompt": json.dumps(txt2img_graph())}
    assert read(png_with(whole)).graph == txt2img_graph()


def test_empty_prompt_alone_is_no_workflow() -> None:
    with pytest.raises(GraphError, match="no workflow"):
        read(png(prompt={}))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * 100_000, "nested deeper than 100 levels"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "more than 1,000,000 values"),
        (b"[" + b" " * importing.MAX_JSON_BYTES, "larger than 32 MB"),
    ],
)
def test_json_beyond_the_limits_is_refused_by_name(content: bytes, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read(content)


def test_refusal_names_the_servers_that_were_asked_and_calls_a_simulator_one() -> None:
    unknown = drawn.node(1, "Blur (acme)", outputs=[drawn.out("IMAGE")])
    value = drawn.workflow(unknown, drawn.save(2, 1), links=[[1, 1, 0, 2, 0]])
    simulator = make_server("pretend", object_info=OBJECT_INFO, is_simulator=True)
    with pytest.raises(GraphError, match="the only connected server, “pretend”, is a simulator"):
        read(value, catalogs.known_nodes())
    make_server("real", "http://127.0.0.1:2", object_info=OBJECT_INFO)
    with pytest.raises(GraphError, match="“real” does not know the node type"):
        read(value, catalogs.known_nodes())
    with pytest.raises(GraphError, match="“pretend”, is a simulator"):
        read(value, catalogs.known_nodes(simulator))


def test_what_was_left_out_is_a_note() -> None:
    value = drawn.workflow(drawn.source(), drawn.save(2, 1), drawn.node(3, "Sticky (acme)"), links=[[1, 1, 0, 2, 0]])
    assert any(note.startswith("Sticky (acme) (node 3): Left out") for note in read(value).notes)


def test_file_of_which_nothing_is_left_says_what_was_left_out() -> None:
    with pytest.raises(GraphError, match=r"Nothing .*\nSticky \(acme\) \(node 3\)"):
        read(drawn.workflow(drawn.node(3, "Sticky (acme)")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_a_byte_order_mark_names_are_read(encoding: str) -> None:
    graph = txt2img_graph()
    graph["6"]["inputs"]["text"] = "ein Kätzchen 🐈"
    assert read(f" {json.dumps(graph, ensure_ascii=False)}".encode(encoding)).graph == graph


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF32_LE, "utf-32-le")],
)
def test_both_byte_orders_are_read(mark: bytes, encoding: str) -> None:
    assert read(mark + json.dumps(txt2img_graph()).encode(encoding)).graph == txt2img_graph()


def test_other_encodings_are_named_as_what_is_wrong() -> None:
    content = json.dumps({"1": {"class_type": "Kätzchen"}}, ensure_ascii=False).encode("latin-1")
    with pytest.raises(GraphError, match="not encoded in UTF-8") as refusal:
        read(content)
    assert not isinstance(refusal.value, importing.NoWorkflowFileError)


def package(**changes: Any) -> dict[str, Any]:
    return {"format": "comfysaas-template", "revision": 2, "graph": txt2img_graph(), "parameters": [], **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"description": "x" * 20_001}, "description of this template package is longer than 20,000"),
        ({"title": "x" * 121}, "title of this template package is longer than 120"),
        ({"category": "x" * 61}, "category of this template package is longer than 60"),
        ({"tags": ["x"] * 51}, "too many or too long tags: use at most 50 of 60"),
        ({"tags": ["x" * 61]}, "too many or too long tags: use at most 50 of 60"),
        ({"revision": True}, "“revision” must be a number from 1 on"),
        ({"revision": 0}, "“revision” must be a number from 1 on"),
        ({"revision": "2"}, "“revision” must be a number from 1 on"),
        ({"revision": 3}, "newer version of comfysaas"),
    ],
)
def test_packages_are_bounded(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read(package(**changes))


@pytest.mark.parametrize(("title", "becomes"), [(" \n ", "Cats"), ("\x1b\u202eDo\x00gs ", "Dogs")])
def test_title_of_a_package_is_never_blank_and_holds_no_controls(staff: Any, title: str, becomes: str) -> None:
    template, _notes = making.create(staff, read(package(title=title)), object_info=None, source="cats.json")
    assert template.title == becomes
