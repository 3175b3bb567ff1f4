"""A whole workflow reads files of its sender's own, whichever way their names get into it."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from accounts.models import User
from generations.comfy.asset_references import reference_to
from generations.comfy.named_files import named_files
from generations.files import naming
from generations.lifecycle import raw, services
from generations.models import Asset, Generation
from generations.parameters.validate import InvalidInputs
from generations.relay.submit import build_graph
from tests.comfy.recorded import OBJECT_INFO
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_server,
    make_template,
    own,
    parameter,
)
from tests.support.uploads import Uploads

Graph = dict[str, Any]
MINE, THEIRS = "mine.png", "theirs.png"
EXTRA: dict[str, Any] = {
    "VHS_LoadVideo": {"input": {"required": {"video": [["clip.mp4"]]}}},
    "VHS_LoadVideoPath": {"input": {"required": {"video": ["STRING", {"vhs_path_extensions": ["mp4"]}]}}},
    "VHS_LoadImages": {"input": {"required": {"directory": [["comfysaas", "holiday"]]}}},
    "VHS_LoadImagesPath": {"input": {"required": {"directory": ["STRING", {"default": "input"}]}}},
    "LoadImageOutput": {
        "input": {
            "required": {"image": ["COMBO", {"remote": {"route": "/internal/files/output"}, "image_upload": True}]}
        }
    },
    "LoadLatent": {"input": {"required": {"latent": [["a.latent"]]}}},
    "Load3D": {"input": {"required": {"model_file": [["3d/a.glb"], {"file_upload": True}], "image": ["LOAD_3D", {}]}}},
    "ReadAny": {"input": {"required": {"where": ["STRING", {}]}}},
    "ReadPath": {"input": {"required": {"image_path": ["STRING", {"default": "./output"}]}}},
    "PickPicture": {"input": {"required": {"picture": [["None", "flower.png"]]}}},
    "PickFolder": {"input": {"required": {"which": [["comfysaas", "other"]]}}},
    "PickAnswer": {"input": {"required": {"answer": [["yes", "no"]]}}},
    "Dynamic": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "a", "inputs": {"required": {"shot": [["x.png"], {"image_upload": True}]}}},
                        ]
                    },
                ]
            }
        }
    },
    "PrimitiveString": {"input": {"required": {"value": ["STRING", {}]}}},
    "StringConcatenate": {
        "input": {
            "required": {"string_a": ["STRING", {"multiline": True}], "string_b": ["STRING", {"multiline": True}]}
        }
    },
    "Encode": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}},
}
KNOWN: dict[str, Any] = {**OBJECT_INFO, **EXTRA}
READERS = [
    ("LoadImage", "image"),
    ("LoadImageMask", "image"),
    ("LoadImageOutput", "image"),
    ("LoadAudio", "audio"),
    ("LoadVideo", "file"),
    ("VHS_LoadVideo", "video"),
    ("VHS_LoadVideoPath", "video"),
    ("VHS_LoadImages", "directory"),
    ("VHS_LoadImagesPath", "directory"),
    ("LoadLatent", "latent"),
    ("Load3D", "model_file"),
    ("Load3D", "image"),
    ("ReadAny", "where"),
    ("ReadPath", "image_path"),
    ("PickPicture", "picture"),
    ("PickFolder", "which"),
    ("Dynamic", "mode.shot"),
]
FOREIGN = [
    THEIRS,
    f"{THEIRS} [output]",
    f"{THEIRS} [temp]",
    f"{THEIRS}[output]",
    f"{MINE} [output]",
    "comfysaas/0123456789abcdef0123456789abcdef.png",
    "comfysaas\\0123456789abcdef0123456789abcdef.png",
    "sub/../comfysaas/0123.png",
    "../output/ComfyUI_00001_.png",
    "/comfyui/output/ComfyUI_00001_.png",
    "C:\\comfyui\\output\\ComfyUI_00001_.png",
    '"ComfyUI_00001_.png [output]"',
    "input/comfysaas",
]

pytestmark = pytest.mark.django_db


def one(class_type: str, name: str, value: object) -> Graph:
    return {"1": {"class_type": class_type, "inputs": {name: value}}}


def keys(graph: Graph, user: User, object_info: Any = KNOWN) -> list[tuple[str, str]]:
    with pytest.raises(naming.MissingAssetError) as caught:
        naming.resolve(own(user), graph, object_info)
    return caught.value.input_keys


@pytest.mark.parametrize("value", FOREIGN)
@pytest.mark.parametrize(("class_type", "name"), READERS)
def test_a_name_that_is_no_file_of_mine_is_missing(
    owner: User, stranger: User, class_type: str, name: str, value: str
) -> None:
    make_asset(stranger, name=THEIRS)
    make_asset(owner, name=MINE)
    for shape in (value, [value], {"__value__": [value]}, {"image": value} if name == "image" else value):
        assert (keys(one(class_type, name, shape), owner)) == [("1", name)]


@pytest.mark.parametrize(("class_type", "name"), READERS)
def test_a_name_of_mine_becomes_a_reference(owner: User, stranger: User, class_type: str, name: str) -> None:
    make_asset(stranger, name=MINE)
    asset = make_asset(owner, name=MINE)
    graph = one(class_type, name, MINE)
    before = copy.deepcopy(graph)
    resolved, ids = naming.resolve(own(owner), graph, KNOWN)
    assert (resolved, ids) == (one(class_type, name, reference_to(asset.pk)), {asset.pk})
    assert graph == before


@pytest.mark.parametrize("value", FOREIGN)
def test_names_are_known_while_no_server_has_told_its_classes(owner: User, value: str) -> None:
    assert keys(one("LoadImage", "image", value), owner, None) == [("1", "image")]
    assert keys(one("VHS_LoadImages", "directory", "holiday"), owner, None) == [("1", "directory")]


@pytest.mark.parametrize(
    ("class_type", "name", "value"),
    [
        ("Encode", "text", "a cat, like theirs.png"),
        ("Encode", "text", "x.png [output]"),
        ("PickAnswer", "answer", "yes"),
        ("PickPicture", "picture", "None"),
        ("ReadAny", "where", "on a hill"),
        ("ReadAny", "where", "output"),
        ("ReadAny", "where", "/imagine"),
        ("SaveImage", "filename_prefix", "output/films/ComfyUI"),
        ("CheckpointLoaderSimple", "ckpt_name", "sd/model.safetensors"),
        ("KSampler", "seed", 5),
    ],
)
def test_other_words_stay_as_they_are(owner: User, class_type: str, name: str, value: object) -> None:
    graph = one(class_type, name, value)
    assert naming.resolve(own(owner), graph, KNOWN) == (graph, set())


def test_the_newest_of_mine_is_taken(owner: User) -> None:
    now = timezone.now()
    old = make_asset(owner, name=MINE, created_at=now - timedelta(hours=2))
    new = make_asset(owner, name=MINE, created_at=now - timedelta(hours=1))
    make_asset(owner, name=MINE, expires_at=now - timedelta(minutes=1))
    assert naming.resolve(own(owner), one("LoadImage", "image", MINE), KNOWN)[1] == {new.pk}
    assert naming.resolve(own(owner), one("LoadImage", "image", f"{MINE} [input]"), KNOWN)[1] == {new.pk}
    Asset.objects.filter(pk=new.pk).delete()
    assert naming.resolve(own(owner), one("LoadImage", "image", MINE), KNOWN)[1] == {old.pk}


def test_a_name_may_have_folders(owner: User) -> None:
    asset = make_asset(owner, name="trip/day 1.png")
    assert naming.resolve(own(owner), one("LoadImage", "image", "trip/day 1.png"), KNOWN)[1] == {asset.pk}
    assert naming.resolve(own(owner), one("VHS_LoadImagePath", "image", "input/trip/day 1.png"), None)[1] == {asset.pk}


def test_annotated_names_are_those_of_my_results(owner: User, stranger: User) -> None:
    result = make_output(make_generation(owner, status="succeeded"), position=1).asset
    make_output(make_generation(stranger, status="succeeded"), position=2)
    assert result is not None
    for name in ("ComfyUI_00001_.png [output]", "sub/ComfyUI_00001_.png [output]", "ComfyUI_00001_.png [temp]"):
        assert naming.resolve(own(owner), one("LoadImage", "image", name), KNOWN)[1] == {result.pk}
    assert keys(one("LoadImage", "image", "ComfyUI_00002_.png [output]"), owner) == [("1", "image")]


def test_a_name_from_a_text_node_is_resolved_where_it_is_read(owner: User) -> None:
    asset = make_asset(owner, name=MINE)
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "PrimitiveString", "inputs": {"value": MINE}},
    }
    resolved, _ids = naming.resolve(own(owner), graph, KNOWN)
    assert resolved["1"]["inputs"]["image"] == reference_to(asset.pk)
    graph["2"]["inputs"]["value"] = f"{MINE} [output]"
    assert ("1", "image") in keys(graph, owner)


def test_a_name_that_another_node_makes_is_refused(owner: User) -> None:
    make_asset(owner, name="a")
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ["2", 0]}},
        "2": {"class_type": "StringConcatenate", "inputs": {"string_a": "x.png [out", "string_b": "put]"}},
    }
    with pytest.raises(naming.MissingAssetError, match="another node makes the name"):
        naming.resolve(own(owner), graph, KNOWN)
    graph["2"] = {"class_type": "Any Switch", "inputs": {"any_01": ["3", 0], "x": "a"}}
    graph["3"] = {"class_type": "PrimitiveString", "inputs": {"value": "a"}}
    assert keys(graph, owner) == [("1", "image")]


def test_every_place_is_named(owner: User) -> None:
    graph = {**one("LoadImage", "image", THEIRS), "2": {"class_type": "LoadImageMask", "inputs": {"image": "x.png"}}}
    assert keys(graph, owner) == [("1", "image"), ("2", "image")]


def test_references_among_names_are_left_alone(owner: User) -> None:
    asset = make_asset(owner, name=MINE)
    graph = one("LoadImage", "image", reference_to(asset.pk))
    assert named_files(graph, KNOWN) == []
    assert naming.resolve(own(owner), graph, KNOWN) == (graph, {asset.pk})


# ------------------------------------------------------------------------------------------ files of servers
def test_files_of_servers_are_named_where_an_admin_offers_them(owner: User) -> None:
    listed = {
        "LoadImage": {"input": {"required": {"image": [["example.png", "comfysaas/a.png"], {"image_upload": True}]}}}
    }
    server = make_server(object_info=listed)
    graph = one("LoadImage", "image", "example.png")
    assert keys(graph, owner) == [("1", "image")]
    server.are_files_offered = True
    server.save()
    assert naming.resolve(own(owner), graph, listed) == (graph, set())
    for name in ("other.png", "example.png [output]", "example.png [input]", "comfysaas/a.png", "./example.png"):
        assert keys(one("LoadImage", "image", name), owner) == [("1", "image")]


def test_a_file_that_one_of_the_servers_does_not_offer_is_not_named(owner: User) -> None:
    listed = {"LoadImage": {"input": {"required": {"image": [["example.png"], {"image_upload": True}]}}}}
    make_server(object_info=listed, are_files_offered=True)
    make_server("without it", "http://127.0.0.1:2", object_info={"SaveImage": {}})
    assert naming.resolve(own(owner), one("LoadImage", "image", "example.png"), listed)[1] == set()
    make_server("closed", "http://127.0.0.1:3", object_info=listed)
    assert keys(one("LoadImage", "image", "example.png"), owner) == [("1", "image")]


# ------------------------------------------------------------------------------------------ up to the server


def test_each_reader_gets_the_name_in_its_own_way(owner: User) -> None:
    owner.user_permissions.add(Permission.objects.get(codename="submit_raw_workflow"))
    make_asset(owner, name=MINE)
    readers = [
        ("LoadImage", "image"), ("VHS_LoadImagePath", "image"), ("VHS_LoadImages", "directory"),
        ("VHS_LoadImagesPath", "directory"),
    ]  # fmt: skip
    make_server(object_info={kind: {"output_node": True} for kind, _name in readers})
    graph = {str(n): {"class_type": kind, "inputs": {name: MINE}} for n, (kind, name) in enumerate(readers)}
    generation = raw.submit(user=owner, workflow=graph)
    assert MINE not in json.dumps(generation.version.graph)
    client: Any = Uploads()
    built = build_graph(Generation.objects.select_related("version").get(pk=generation.pk), client)
    digest = generation.input_assets.get().hash.removeprefix("blake3:")[:32]
    assert sorted(client.names) == [f"comfysaas/{digest}.png", f"comfysaas/{digest}/{digest}.png"]
    assert [next(iter(node["inputs"].values())) for node in built.values()] == [
        f"comfysaas/{digest}.png", f"input/comfysaas/{digest}.png", f"comfysaas/{digest}", f"input/comfysaas/{digest}",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------ templates
@pytest.mark.parametrize("kind", ["string", "text"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_text_of_a_template_names_no_file(owner: User, kind: str, is_linked: bool) -> None:
    make_server(object_info=KNOWN, object_info_at=timezone.now())
    make_asset(owner, name=MINE)
    graph: Graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    key = ("1", "image")
    if is_linked:
        graph["1"]["inputs"]["image"], key = ["3", 0], ("3", "value")
        graph["3"] = {"class_type": "PrimitiveString", "inputs": {"value": "example.png"}}
    version = make_template(graph=graph, parameters=[parameter("file", kind, *key)]).published_version
    assert version is not None
    for name in ("x.png [output]", MINE, "comfysaas/a.png"):
        with pytest.raises(InvalidInputs) as caught:
            services.submit(user=owner, version=version, inputs={"file": name})
        assert list(caught.value.errors) == ["file"]
    assert services.submit(user=owner, version=version, inputs={"file": "example.png"}).pk
