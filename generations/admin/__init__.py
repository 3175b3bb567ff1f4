"""The admin of generations: servers, templates, generations, webhooks, and the page of a person."""

from generations.admin import generations, people, servers, templates, webhooks

__all__ = ["generations", "people", "servers", "templates", "webhooks"]
