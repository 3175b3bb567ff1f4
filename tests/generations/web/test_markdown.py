"""Descriptions in Markdown: what it becomes, and what never gets through."""

from __future__ import annotations

import pytest

from generations.web.markdown import plain, render


def test_marks_become_elements() -> None:
    html = render("# Title\n\nSome *soft* **loud** `code`\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |")
    for part in (
        "<h3>Title</h3>",
        "<em>soft</em>",
        "<strong>loud</strong>",
        "<code>code</code>",
        "<li>one</li>",
        "<td>2</td>",
    ):
        assert part in html


def test_links_lead_out_without_a_trace() -> None:
    html = render("[here](https://example.com/?a=1&b=2)")
    assert html == '<p><a href="https://example.com/?a=1&amp;b=2" rel="noopener noreferrer nofollow">here</a></p>\n'


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://example.com/track.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "<a href='https://x' onclick='y'>x</a>",
        "<style>body{display:none}</style>",
        "<iframe src=https://x></iframe>",
        "[x](<javascript:alert(1)>)",
        "`<b onmouseover=x>`",
        "<svg/onload=alert(1)>",
    ],
)
def test_nothing_active_gets_through(text: str) -> None:
    html = render(text)
    for part in ("<script", "<img", "<style", "<iframe", "<svg", "<b ", 'href="javascript', 'href="data', 'href="vb'):
        assert part not in html
    assert "onclick" not in html or "&lt;" in html


def test_plain_text_has_no_marks() -> None:
    assert plain("# Title\n\nSome *soft* & [link](https://x.example)\n\n- one") == "Title Some soft & link one"
    assert plain("a < b") == "a < b"
