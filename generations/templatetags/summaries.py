"""Filters for the texts of tiles."""

from __future__ import annotations

from django import template

from generations.web import markdown

register = template.Library()


@register.filter
def plain(text: str) -> str:
    """Markdown as plain text on one line."""
    return markdown.plain(text)
