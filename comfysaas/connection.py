"""Where the application finds its connection to the client, beside what ASGI gives it.

Apart from `http_server.py`, so that processes that serve nobody do not load a web server, 15 MB of each.
"""

from __future__ import annotations

EXTENSION = "comfysaas.connection"  # in `scope["extensions"]`
