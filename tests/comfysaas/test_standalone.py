"""Servers that the environment names."""

from __future__ import annotations

import pytest

from comfysaas.standalone import register_servers
from generations.models import ComfyServer
from tests.support.factories import make_server
from tests.support.servers import EVIL, HEADER, HEADER_FIELDS, reload

pytestmark = pytest.mark.django_db


def test_servers_of_the_environment_do_not_inherit_a_header() -> None:
    server = make_server(url="http://gpu:8188", **HEADER_FIELDS)
    register_servers((EVIL, "http://gpu:8188/"))
    assert reload(server).headers == HEADER
    assert ComfyServer.objects.get(url=EVIL).headers == {}
