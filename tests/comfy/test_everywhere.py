"""Use Everywhere: what is broadcast reaches the inputs that the extension would link, or the place is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import link, node, out, save, slot, source, workflow
from tests.support.workflows import OBJECT_INFO

SUBGRAPH = "00000000-0000-4000-8000-000000000001"
FIRST, SECOND, NOTHING = ["1", 0], ["11", 0], None


def settings(**values: Any) -> dict[str, Any]:
    return {"properties": {"ue_properties": {"version": "7.8", **values}}}


def everywhere(node_id: int, *links: int, kind: str = "Anything Everywhere", **fields: Any) -> dict[str, Any]:
    """A node that broadcasts what comes through these links."""
    inputs = [slot(f"anything{number}", "IMAGE", each) for number, each in enumerate(links)]
    return node(node_id, kind, inputs=inputs, **{**settings(), **fields})


def images(value: dict[str, Any], node_id: str = "3") -> Any:
    graph = convert(value, OBJECT_INFO)
    assert not any("Everywhere" in each["class_type"] for each in graph.values())
    return graph[node_id]["inputs"].get("images")


def refusal(value: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ConversionError) as refused:
        convert(value, OBJECT_INFO)
    (problem,) = refused.value.problems
    return problem.node_id, problem.message


def one(
    *more: dict[str, Any], target: dict[str, Any] | None = None, record: Any = None, **fields: Any
) -> dict[str, Any]:
    """One picture, broadcast by node 2, and one place to save it, node 3."""
    extra = {} if record is None else {"extra": {"frontendVersion": "1.58.1", "ue_links": record}}
    return workflow(
        source(), everywhere(2, 1, **fields), target or save(3, None), *more,
        links=[[1, 1, 0, 2, 0], [2, 11, 0, 12, 0]], **extra,
    )  # fmt: skip


def two(first: dict[str, Any], second: dict[str, Any], target: dict[str, Any] | None = None) -> dict[str, Any]:
    """Two pictures, broadcast by nodes 2 and 12."""
    return one(source(11), everywhere(12, 2, **second), target=target, **first)


# ------------------------------------------------------------------------------------- what is reached
def test_open_input_of_the_type_is_connected_and_no_other() -> None:
    value = one(source(11), save(4, 3))
    value["links"].append([3, 11, 0, 4, 0, "IMAGE"])
    assert (images(value), images(value, "4")) == (FIRST, SECOND)
    other = node(5, "VAEEncode", inputs=[slot("pixels", "IMAGE"), slot("vae", "VAE")])
    assert convert(one(other), OBJECT_INFO)["5"]["inputs"] == {"pixels": FIRST}


@pytest.mark.parametrize(
    "kind", ["Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?", "Prompts Everywhere"]
)
def test_node_that_broadcasts_is_sent_where_a_server_knows_it(kind: str) -> None:
    info = {**OBJECT_INFO, kind: {"input": {"optional": {"anything0": ["*", {}]}}, "output": []}}
    graph = convert(one(kind=kind), info)
    assert graph["3"]["inputs"]["images"] == graph["2"]["inputs"]["anything0"] == FIRST
    assert images(one(kind=kind)) == FIRST


def test_socket_that_the_file_does_not_have_yet_is_open_too() -> None:
    assert images(one(target=node(3, "SaveImage", widgets_values=["x"]))) == FIRST


@pytest.mark.parametrize("mode", [2, 4])
def test_node_that_does_not_run_broadcasts_nothing(mode: int) -> None:
    assert images(one(mode=mode)) is NOTHING


def test_bypassed_source_broadcasts_what_it_passes_on_and_a_muted_one_nothing() -> None:
    for mode, expected in ((4, FIRST), (2, NOTHING)):
        middle = node(5, "ImageInvert", mode=mode, inputs=[slot("image", "IMAGE", 1)], outputs=[out("IMAGE")])
        value = workflow(source(), middle, everywhere(2, 2), save(3, None), links=[[1, 1, 0, 5, 0], [2, 5, 0, 2, 0]])
        assert images(value) == expected


def test_bypassed_node_is_fed_too() -> None:
    middle = node(5, "ImageInvert", mode=4, inputs=[slot("image", "IMAGE")], outputs=[out("IMAGE")])
    value = one(middle, target=save(3, 3))
    value["links"].append([3, 5, 0, 3, 0, "IMAGE"])
    assert images(value) == FIRST


def test_nothing_is_broadcast_to_its_own_source() -> None:
    blur = node(1, "ImageInvert", inputs=[slot("image", "IMAGE")], outputs=[out("IMAGE")])
    value = workflow(blur, everywhere(2, 1), save(3, None), links=[[1, 1, 0, 2, 0]])
    graph = convert(value, OBJECT_INFO)
    assert (graph["1"]["inputs"], graph["3"]["inputs"]["images"]) == ({}, FIRST)


def test_broadcast_goes_through_reroutes_and_get_nodes() -> None:
    nodes = [
        source(), node(5, "SetNode", inputs=[slot("IMAGE", "IMAGE", 1)], widgets_values=["a"]),
        node(6, "GetNode", outputs=[out("IMAGE")], widgets_values=["a"]),
        node(7, "Reroute", inputs=[slot("", "*", 2)], outputs=[out("*")]), everywhere(2, 3), save(3, None),
    ]  # fmt: skip
    assert images(workflow(*nodes, links=[[1, 1, 0, 5, 0], [2, 6, 0, 7, 0], [3, 7, 0, 2, 0]])) == FIRST


@pytest.mark.parametrize(
    "target",
    [
        save(3, None, properties={"rejects_ue_links": True}),
        save(3, None, **settings(input_ue_unconnectable={"images": True})),
    ],
)
def test_nodes_and_inputs_that_take_no_broadcasts_get_none(target: dict[str, Any]) -> None:
    assert images(one(target=target)) is NOTHING


WIDGET = {**slot("filename_prefix", "STRING"), "widget": {"name": "filename_prefix"}}


@pytest.mark.parametrize(
    ("properties", "is_connected"),
    [
        ({"ue_properties": {"version": "7.8", "widget_ue_connectable": {}}}, False),
        ({"ue_properties": {"version": "7.8", "widget_ue_connectable": {"filename_prefix": True}}}, True),
        ({"widget_ue_connectable": {"filename_prefix": True}}, True),
        ({"widget_ue_connectable": {}}, False),
        ({}, True),  # before there were ticks, a widget among the inputs was made one to be connected
    ],
)
def test_widgets_take_broadcasts_where_they_were_ticked(properties: Any, is_connected: bool) -> None:
    text = node(8, "StringConcatenate", outputs=[out("STRING")], widgets_values=["a", "b", ""])
    target = save(3, 3, properties=properties)
    target["inputs"].append(WIDGET)
    value = workflow(
        source(), text, everywhere(2, 1), target, links=[[3, 1, 0, 3, 0], [1, 8, 0, 2, 0]],
    )  # fmt: skip
    value["links"][1][5] = "STRING"
    found = convert(value, OBJECT_INFO)["3"]["inputs"]["filename_prefix"]
    assert found == (["8", 0] if is_connected else "x")


def test_real_node_can_broadcast_its_outputs_but_those_that_are_switched_off() -> None:
    converted = source(1, properties={"ue_convert": True, "ue_properties": {"version": "7.8"}})
    assert images(workflow(converted, save(3, None))) == FIRST
    converted["properties"]["ue_properties"]["output_not_broadcasting"] = {"IMAGE": True}
    assert images(workflow(converted, save(3, None))) is NOTHING


def test_seed_of_version_7_goes_to_the_inputs_that_its_pattern_fits() -> None:
    seed = node(
        1, "PrimitiveInt", outputs=[out("INT")], widgets_values=[42, "fixed"],
        properties={
            "ue_convert": True,
            "ue_properties": {"version": "7.8", "seed_inputs": True, "fixed_inputs": True, "input_regex": "seed"},
        },
    )  # fmt: skip
    names = ("seed", "steps")
    ticked = {"ue_properties": {"version": "7.8", "widget_ue_connectable": dict.fromkeys(names, True)}}
    slots = [{**slot(name, "INT"), "widget": {"name": name}} for name in names]
    sampler = node(
        2, "KSampler", inputs=slots, properties=ticked, widgets_values=[1, "fixed", 20, 8, "euler", "normal", 1]
    )
    info = {**OBJECT_INFO, "PrimitiveInt": {"input": {"required": {"value": ["INT", {}]}}, "output": ["INT"]}}
    inputs = convert(workflow(seed, sampler), info)["2"]["inputs"]
    assert (inputs["seed"], inputs["steps"]) == (["1", 0], 20)


# ------------------------------------------------------------------------------------- limits
@pytest.mark.parametrize(
    ("limits", "is_connected"),
    [
        ({"title_regex": "Keep"}, True),
        ({"title_regex": "^keep"}, False),
        ({"title_regex": "Keep", "title_regex_invert": True}, False),
        ({"title_regex": ".*"}, True),
        ({"input_regex": "^image"}, True),
        ({"input_regex": "mask", "input_regex_invert": True}, True),
        ({"input_regex": "mask"}, False),
        ({"color_restricted": 1}, True),
        ({"color_restricted": 2}, False),
        ({"group_restricted": 1}, True),
        ({"group_restricted": 2}, False),
        ({"group_regex": "Left"}, True),
        ({"group_regex": "Right"}, False),
        ({"group_restricted": 1, "color_restricted": 1, "group_regex": "Le", "title_regex": "p$"}, True),
    ],
)
def test_limits_of_a_broadcast_hold(limits: dict[str, Any], is_connected: bool) -> None:
    box = {"pos": [20, 60], "size": [100, 80], "color": "#223"}
    target = save(3, None, title="Keep", **box)
    value = one(target=target, **{**settings(**limits), **box})
    value["groups"] = [
        {"title": "Left", "bounding": [0, 0, 300, 300]},
        {"title": "Right", "bounding": [400, 0, 300, 300]},
    ]
    assert images(value) == (FIRST if is_connected else NOTHING)


def test_nodes_of_another_group_and_colour_are_not_reached() -> None:
    target = save(3, None, pos=[500, 60], size=[100, 80], color="#322")
    groups = [{"title": "Left", "bounding": [0, 0, 300, 300]}, {"title": "Right", "bounding": [400, 0, 300, 300]}]
    for limits, expected in (
        ({"group_restricted": 1}, NOTHING), ({"group_restricted": 2}, FIRST),
        ({"color_restricted": 1}, NOTHING), ({"color_restricted": 2}, FIRST),
    ):  # fmt: skip
        value = one(target=target, pos=[20, 60], size=[100, 80], color="#223", **settings(**limits))
        assert images({**value, "groups": groups}) == expected


def test_limits_of_versions_before_7_are_where_those_kept_them() -> None:
    target = save(3, None, title="Keep")
    for patterns, expected in ((["Keep", "images", ".*"], FIRST), (["Other", ".*", ".*"], NOTHING)):
        for properties in ({}, {"widget_ue_connectable": {}}):
            value = one(target=target, kind="Anything Everywhere?", properties=properties, widgets_values=patterns)
            assert images(value) == expected
    colored = one(target={**target, "color": "#223"}, properties={"color_restricted": 1}, color="#322")
    assert images(colored) is NOTHING


def test_higher_priority_wins() -> None:
    assert images(two(settings(), settings(title_regex="Save"))) == SECOND
    assert images(two(settings(priority=50), settings(title_regex="Save"))) == FIRST
    assert images(two(settings(color_restricted=1), settings(group_regex_invert=True))) == FIRST


def test_several_of_one_type_at_one_node_go_by_the_names_of_inputs() -> None:
    def value(rule: int, *labels: str) -> dict[str, Any]:
        broadcasting = everywhere(2, 1, 2, **settings(repeated_type_rule=rule))
        for each, label in zip(broadcasting["inputs"], labels, strict=True):
            each["label"] = label
        return workflow(
            source(), source(11), broadcasting, save(3, None, title="Keep"), links=[[1, 1, 0, 2, 0], [2, 11, 0, 2, 1]]
        )

    assert images(value(0, "other", "images")) == SECOND
    assert images(value(0, "other", "image")) is NOTHING
    assert images(value(1, "other", "im")) == SECOND
    assert images(value(2, "mages", "mask")) == FIRST
    assert images(value(3, "images", "Keep")) == SECOND
    assert images(value(4, "^ima", "mask")) == FIRST


def prompts(target: dict[str, Any], **fields: Any) -> Any:
    """Two conditionings, broadcast by Prompts Everywhere to this node."""
    encoders = [node(number, "ConditioningZeroOut", outputs=[out("CONDITIONING")]) for number in (1, 11)]
    broadcasting = everywhere(2, 1, 2, kind="Prompts Everywhere", **fields)
    for each, name in zip(broadcasting["inputs"], ("positive", "negative"), strict=True):
        each["name"] = name
    value = workflow(*encoders, broadcasting, target, links=[[1, 1, 0, 2, 0], [2, 11, 0, 2, 1]])
    for row in value["links"]:
        row[5] = "CONDITIONING"
    return value


@pytest.mark.parametrize("fields", [{}, {"properties": {"widget_ue_connectable": {}}}, {"properties": {}}])
def test_prompts_go_to_positive_and_negative(fields: Any) -> None:
    sampler = node(3, "KSampler", inputs=[slot("positive", "CONDITIONING"), slot("negative", "CONDITIONING")])
    inputs = convert(prompts(sampler, **fields), OBJECT_INFO)["3"]["inputs"]
    assert (inputs["positive"], inputs["negative"]) == (FIRST, SECOND)


# ------------------------------------------------------------------------------------- sub-graphs
def test_each_graph_has_its_own_broadcasts() -> None:
    inside = {
        "id": SUBGRAPH,
        "nodes": [everywhere(2, 1), save(3, None)],
        "links": [link(1, -10, 0, 2, 0)],
        "inputs": [{"name": "image", "type": "IMAGE"}],
    }
    alone = {"id": SUBGRAPH, "nodes": [save(3, None)], "links": []}
    around = node(5, SUBGRAPH, inputs=[slot("image", "IMAGE")])
    fed = workflow(source(), everywhere(2, 1), around, links=[[1, 1, 0, 2, 0]], subgraphs=[inside])
    assert images(fed, "5:3") == FIRST
    apart = workflow(source(), everywhere(2, 1), node(5, SUBGRAPH), links=[[1, 1, 0, 2, 0]], subgraphs=[alone])
    assert images(apart, "5:3") is NOTHING


def test_output_of_a_sub_graph_without_a_link_is_open() -> None:
    inside = {
        "id": SUBGRAPH,
        "nodes": [source(1), everywhere(2, 1)],
        "links": [link(1, 1, 0, 2, 0)],
        "outputs": [{"name": "image", "type": "IMAGE"}],
    }
    value = workflow(node(5, SUBGRAPH, outputs=[out("IMAGE")]), save(3, 1), links=[[1, 5, 0, 3, 0]], subgraphs=[inside])
    assert images(value) == ["5:1", 0]
    # A link counts where the output lists it, as when the workflow is queued: a stale row of the table feeds nothing.
    inside["links"].append(link(9, 99, 0, -20, 0))
    assert images(value) == ["5:1", 0]


# ------------------------------------------------------------------------------------- what the file does not decide
def test_two_of_the_same_priority_are_refused() -> None:
    node_id, message = refusal(two(settings(), settings()))
    assert node_id == "3" and "same priority" in message and "(node 2)" in message and "(node 12)" in message
    assert "“images”" in message


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"title_regex": "(a+)+$"}, "(a+)+$"),
        ({"input_regex": "(?<name>x)"}, "(?<name>x)"),
        ({"group_restricted": 1}, "border"),
    ],
)
def test_limit_that_cannot_be_followed_is_refused(limits: dict[str, Any], words: str) -> None:
    box = {"pos": [250, 60], "size": [100, 80]}
    value = one(
        target=save(3, None, flags={"collapsed": True}, **box), pos=[20, 60], size=[100, 80], **settings(**limits)
    )
    value["groups"] = [{"title": "Left", "bounding": [0, 0, 300, 300]}]
    node_id, message = refusal(value)
    assert node_id == "3" and words in message


def test_limit_that_cannot_be_followed_does_not_matter_where_another_decides() -> None:
    value = one(**settings(title_regex="(a+)+$", input_regex="mask"))
    assert images(value) is NOTHING


@pytest.mark.parametrize("limits", [{"group_regex": "Left"}, {"color_restricted": 2}])
def test_limits_that_depend_on_what_the_editor_shows_are_refused_in_sub_graphs(limits: dict[str, Any]) -> None:
    inside = {
        "id": SUBGRAPH,
        "nodes": [source(1), everywhere(2, 1, **settings(**limits)), save(3, None)],
        "links": [link(1, 1, 0, 2, 0)],
    }
    node_id, message = refusal(workflow(node(5, SUBGRAPH), subgraphs=[inside]))
    assert node_id == "5:3" and "inside a sub-graph" in message


def test_old_seed_everywhere_is_refused_unless_the_file_says_what_it_reached() -> None:
    seed = node(1, "Seed Everywhere", outputs=[out("INT")], widgets_values=[42, "fixed"])
    sampler = node(
        3, "KSampler", inputs=[{**slot("seed", "INT"), "widget": {"name": "seed"}}],
        widgets_values=[1, "fixed", 20, 8, "euler", "normal", 1],
    )  # fmt: skip
    info = {**OBJECT_INFO, "Seed Everywhere": {"input": {"required": {"seed": ["INT", {}]}}, "output": ["INT"]}}
    value = workflow(seed, sampler)
    with pytest.raises(ConversionError, match="before and after 7"):
        convert(value, info)
    value["extra"]["ue_links"] = [row(1, 0, 3, 0)]
    assert convert(value, info)["3"]["inputs"]["seed"] == ["1", 0]


def test_prompts_that_old_and_new_versions_read_differently_are_refused() -> None:
    sampler = node(3, "KSampler", inputs=[slot("positive_prompt", "CONDITIONING")])
    info_node = prompts(sampler, properties={})
    node_id, message = refusal(info_node)
    assert node_id == "3" and "before and after 7" in message


@pytest.mark.parametrize("record", [None, [{"upstream": "1", "downstream": 3, "downstream_slot": 0}]])
def test_text_that_is_broadcast_to_a_list_of_choices_is_refused(record: Any) -> None:
    text = node(1, "StringConcatenate", outputs=[out("STRING")], widgets_values=["a", "b", ""])
    ticked = {"ue_properties": {"version": "7.8", "widget_ue_connectable": {"upscale_method": True}}}
    inputs = [{**slot("upscale_method", "COMBO"), "widget": {"name": "upscale_method"}}]
    value = workflow(
        text, everywhere(2, 1, **settings(string_to_combo=1)),
        node(3, "ImageScale", inputs=inputs, properties=ticked), links=[[1, 1, 0, 2, 0]],
    )  # fmt: skip
    value["links"][0][5] = "STRING"
    if record is not None:
        value["extra"]["ue_links"] = record
    node_id, message = refusal(value)
    assert node_id == "3" and "list of choices" in message


def row(upstream: int, upstream_slot: int, downstream: int, downstream_slot: int) -> dict[str, Any]:
    return {
        "upstream": str(upstream), "upstream_slot": upstream_slot, "controller": 2, "type": "IMAGE",
        "downstream": downstream, "downstream_slot": downstream_slot,
    }  # fmt: skip


def test_list_of_links_in_the_file_has_to_agree() -> None:
    assert images(one(record=[row(1, 0, 3, 0)])) == FIRST
    for other in ([], [row(9, 0, 3, 0)]):
        node_id, message = refusal(one(record=other))
        assert node_id == "3" and "disagree about what is broadcast" in message


def test_list_of_links_decides_what_the_limits_leave_open() -> None:
    limits = settings(title_regex="(a+)+$")
    assert images(one(record=[row(1, 0, 3, 0)], **limits)) == FIRST
    assert images(one(record=[], **limits)) is NOTHING


@pytest.mark.parametrize(("count", "groups"), [(700, 0), (100, 5000)])
def test_many_broadcasts_inputs_and_groups_end_in_time(count: int, groups: int) -> None:
    limits = settings(group_restricted=1) if groups else settings()
    nodes = [everywhere(1000 + number, number, pos=[0, 0], size=[9, 9], **limits) for number in range(count)]
    value = workflow(
        source(), *nodes, *(save(5000 + number, None) for number in range(count)),
        links=[[number, 1, 0, 1000 + number, 0] for number in range(count)],
        groups=[{"title": "", "bounding": [0, 0, 900, 900]}] * groups,
    )  # fmt: skip
    with pytest.raises(ConversionError, match=r"to compare|same priority"):
        convert(value, OBJECT_INFO)


odd = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | st.lists(st.integers(), max_size=4)
NAMES = [
    "version", "title_regex", "input_regex", "group_regex", "title_regex_invert", "group_restricted",
    "color_restricted",
    "priority", "repeated_type_rule", "apply_to_unrepeated", "string_to_combo", "send_to_any", "widget_ue_connectable",
    "input_ue_unconnectable", "output_not_broadcasting", "seed_inputs",
]  # fmt: skip


@settings_of_hypothesis(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), odd), st.dictionaries(st.sampled_from(NAMES), odd), odd, odd)
def test_malformed_settings_are_read_or_refused_and_nothing_worse(
    first: Any, second: Any, pos: Any, record: Any
) -> None:
    value = one(properties={"ue_properties": first}, widgets_values=[pos, pos], pos=pos, size=pos, flags=pos)
    value["nodes"][2]["properties"] = {"ue_properties": second, "ue_convert": True}
    value |= {"groups": [{"bounding": pos}, pos], "extra": {"ue_links": [record, {"downstream": record}]}}
    try:
        convert(value, OBJECT_INFO)
    except ConversionError as refused:
        assert str(refused)
