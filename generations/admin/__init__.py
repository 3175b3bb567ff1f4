"""The admin of generations: servers, templates, generations, webhooks."""

from generations.admin import generations, servers, templates, webhooks

__all__ = ["generations", "servers", "templates", "webhooks"]
