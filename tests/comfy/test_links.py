"""Links are followed to what they bring, within limits."""

from __future__ import annotations

from typing import Any

import pytest

from generations.comfy.convert import ConversionError, convert
from tests.support.drawn import node, undated
from tests.support.workflows import OBJECT_INFO

HUGE = "9" * 5000


@pytest.mark.parametrize("count", [400, 5000])
def test_long_chains_of_reroutes_are_followed_or_refused(count: int) -> None:
    chain = [
        node(number, "Reroute", inputs=[{"name": "", "type": "*", "link": number - 1}], outputs=[{"type": "*"}])
        for number in range(2, count)
    ]
    source = node(1, "EmptyImage", outputs=[{"name": "IMAGE", "type": "IMAGE"}])
    target = node(count, "SaveImage", inputs=[{"name": "images", "type": "IMAGE", "link": count - 1}])
    links = [[number, number, 0, number + 1, 0, "IMAGE"] for number in range(1, count)]
    try:
        graph = convert(undated(source, *chain, target, links=links), OBJECT_INFO)
    except ConversionError as refusal:
        assert count > 400 and "too deep" in str(refusal)
    else:
        assert graph[str(count)]["inputs"]["images"] == ["1", 0]


def test_long_chains_behind_many_inputs_are_refused() -> None:
    chain = [
        node(n, "Reroute", inputs=[{"name": "", "type": "*", "link": n}], outputs=[{"name": "", "type": "*"}])
        for n in range(300)
    ]
    links = [[n, n + 1, 0, n, 0, "*"] for n in range(299)]
    many = [
        node(
            1000 + n, "PreviewImage", inputs=[{"name": f"images{at}", "type": "IMAGE", "link": 0} for at in range(100)]
        )
        for n in range(100)
    ]
    with pytest.raises(ConversionError, match="too many ways"):
        convert({"nodes": [*chain, *many], "links": links}, OBJECT_INFO)


@pytest.mark.parametrize("slot", [HUGE, "-1", -5, -(10**30), 10**30, 1e300, "x", None, {}])
def test_strange_slots_and_ids_are_refused_or_read(slot: Any) -> None:
    origin = node(HUGE, "Reroute", inputs=[{"name": "", "type": "*", "link": None}], outputs=[])
    target = node(2, "PreviewImage", inputs=[{"name": "images", "type": "IMAGE", "link": 1}])
    workflow = {
        "nodes": [origin, target], "links": [[1, HUGE, slot, 2, slot, "IMAGE"]],
        "extra": {"frontendVersion": f"{HUGE}.{HUGE}"},
    }  # fmt: skip
    assert list(convert(workflow, OBJECT_INFO)) == ["2"]
