"""Texts for tiles."""

from __future__ import annotations

from django import template

from generations.web import markdown

register = template.Library()


@register.filter
def plain(text: str) -> str:
    """Markdown without its marks."""
    return markdown.plain(text)
