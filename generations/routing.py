"""Websocket addresses."""

from typing import Any

from django.urls import path

from generations.consumers import GenerationConsumer, UserConsumer

# Channels routes ASGI applications with Django's path(), whose stubs only know views.
websocket_urlpatterns: list[Any] = [
    path("ws/generations/", UserConsumer.as_asgi()),  # type: ignore[arg-type]
    path("ws/generations/<uuid:prompt_id>/", GenerationConsumer.as_asgi()),  # type: ignore[arg-type]
]
