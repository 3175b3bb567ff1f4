"""Websocket addresses."""

from django.urls import path

from generations.consumers import GenerationConsumer, UserConsumer

websocket_urlpatterns = [
    path("ws/generations/", UserConsumer.as_asgi()),
    path("ws/generations/<uuid:prompt_id>/", GenerationConsumer.as_asgi()),
]
