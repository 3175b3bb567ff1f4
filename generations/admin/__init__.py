"""The admin of generations: servers, templates, generations."""

from generations.admin import generations, servers, templates

__all__ = ["generations", "servers", "templates"]
