"""Small workflows in the editor's format, put together piece by piece."""

from __future__ import annotations

from typing import Any


def node(node_id: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": kind, "mode": 0, "inputs": [], "outputs": [], "widgets_values": [], **fields}


def slot(name: str, kind: str, link: int | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": link}


def out(kind: str) -> dict[str, Any]:
    return {"name": kind, "type": kind}


def source(node_id: int = 1, **fields: Any) -> dict[str, Any]:
    return node(node_id, "EmptyImage", outputs=[out("IMAGE")], widgets_values=[64, 64, 1, 0], **fields)


def save(node_id: int, link: int | None, **fields: Any) -> dict[str, Any]:
    return node(node_id, "SaveImage", inputs=[slot("images", "IMAGE", link)], widgets_values=["x"], **fields)


def workflow(*nodes: dict[str, Any], links: Any = (), subgraphs: Any = (), **fields: Any) -> dict[str, Any]:
    rows = [[*row, "IMAGE"] for row in links]
    definitions = {"definitions": {"subgraphs": list(subgraphs)}} if subgraphs else {}
    return {
        "nodes": list(nodes), "links": rows, "version": 0.4, "extra": {"frontendVersion": "1.58.1"},
        **definitions, **fields,
    }  # fmt: skip


def link(link_id: int, origin: int, origin_slot: int, target: int, target_slot: int) -> dict[str, Any]:
    return {
        "id": link_id, "origin_id": origin, "origin_slot": origin_slot,
        "target_id": target, "target_slot": target_slot, "type": "IMAGE",
    }  # fmt: skip


def undated(*nodes: dict[str, Any], links: Any = (), **fields: Any) -> dict[str, Any]:
    """A workflow that does not say which frontend saved it; `links` are whole rows."""
    return {"nodes": list(nodes), "links": list(links), "version": 0.4, **fields}


def one_node(class_type: str, values: Any, **fields: Any) -> dict[str, Any]:
    """A workflow with one node, which has the id 1 and these stored values."""
    return {"nodes": [{"id": 1, "type": class_type, "widgets_values": values, **fields}], "links": []}
