"""Where a ComfyUI server is."""

from __future__ import annotations

import pytest

from generations.comfy.address import Address


def test_prefix_credentials_and_query_are_taken_apart() -> None:
    address = Address.parse("https://us%40er:p%3Aw@gpu.example:8443/some/prefix/?token=a%26b")
    assert str(address) == "https://gpu.example:8443/some/prefix"
    assert address.query == (("token", "a&b"),)
    assert address.headers({"X-Key": "1"}) == {"Authorization": "Basic dXNAZXI6cDp3", "X-Key": "1"}


def test_headers_that_are_given_go_before_the_credentials() -> None:
    assert Address.parse("http://u:p@gpu").headers({"Authorization": "Bearer x"}) == {"Authorization": "Bearer x"}


def test_the_websocket_address_follows() -> None:
    address = Address.parse("https://u:p@gpu.example/c/?token=x")
    assert address.websocket_url("a b&c") == "wss://gpu.example/c/api/ws?token=x&clientId=a%20b%26c"
    assert Address.parse("http://[::1]:8188").websocket_url("x") == "ws://[::1]:8188/api/ws?clientId=x"


@pytest.mark.parametrize("url", ["", "gpu:8188", "ftp://gpu", "http://", "user:secret@gpu"])
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="looks like http://host:8188") as caught:
        Address.parse(url)
    assert "secret" not in str(caught.value)
