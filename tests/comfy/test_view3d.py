"""What the editor sends of a 3D view that nobody has touched."""

from __future__ import annotations

import pytest

from generations.comfy.view3d import view


def test_a_saved_camera_is_sent_as_it_is() -> None:
    camera = {"position": {"x": 1, "y": 2, "z": 3}}
    assert view({"Camera Config": {"state": camera}}, 64, 64)["camera_info"] == camera


@pytest.mark.parametrize(("width", "height", "aspect"), [(1024, 512, 2.0), (64, 0, 1.0), (None, 64, 1.0)])
def test_the_camera_in_its_place_sees_the_size_of_the_picture(width: object, height: object, aspect: float) -> None:
    assert view({"Camera Config": {"state": None}}, width, height)["camera_info"]["aspect"] == aspect
