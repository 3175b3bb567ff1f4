"""The interactive documentation."""

from __future__ import annotations

import re

from django.contrib.staticfiles import finders
from django.test import Client


def test_docs_page_brings_everything_itself() -> None:
    response = Client().get("/api/docs")
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert not re.search(r"\son\w+=|\sstyle=", html)
    for found in re.findall(r'(?:src|href)="/static/([^"]+)"', html):
        assert finders.find(found), found


def test_docs_page_allows_no_inline_script() -> None:
    policy = Client().get("/api/docs")["Content-Security-Policy"]
    assert "unsafe" not in re.search(r"script-src[^;]*", policy).group()  # type: ignore[union-attr]
