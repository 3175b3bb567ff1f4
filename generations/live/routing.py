"""Websocket addresses."""

from typing import Any

from django.conf import settings
from django.urls import path

from generations.live.consumers import GenerationConsumer, UserConsumer

ROOT = settings.ROOT_PATH.lstrip("/")
# Channels routes ASGI applications with Django's path(), whose stubs only know views.
websocket_urlpatterns: list[Any] = [
    path(f"{ROOT}ws/generations/", UserConsumer.as_asgi()),  # type: ignore[arg-type]
    path(f"{ROOT}ws/generations/<uuid:prompt_id>/", GenerationConsumer.as_asgi()),  # type: ignore[arg-type]
]
