"""ASGI entry point: `daphne comfysaas.asgi:application`. HTTP goes to Django, websockets to the consumers."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "comfysaas.settings")
django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack  # noqa: E402  (needs the apps to be ready)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

from accounts import garbage  # noqa: E402
from comfysaas import http_server  # noqa: E402
from comfysaas.bodies import BoundedBodies  # noqa: E402
from comfysaas.handler import OneTripHandler  # noqa: E402
from comfysaas.mount import Mounted  # noqa: E402
from generations.api.streams import Streams  # noqa: E402
from generations.live.consumers import ByCredentials, KeyAuthentication  # noqa: E402
from generations.live.routing import websocket_urlpatterns  # noqa: E402

http_server.install()
sockets = URLRouter(websocket_urlpatterns)
application = Mounted(
    BoundedBodies(
        ProtocolTypeRouter(
            {
                "http": Streams(OneTripHandler()),
                "websocket": ByCredentials(
                    programs=KeyAuthentication(sockets),
                    browsers=AllowedHostsOriginValidator(AuthMiddlewareStack(sockets)),
                ),
            }
        )
    ),
    settings.ROOT_PATH,
)
garbage.settle()
