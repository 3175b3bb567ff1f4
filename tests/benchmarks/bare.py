"""The yardstick of `floor`: the same view in a Django with nothing else. daphne tests.benchmarks.bare:application"""

from __future__ import annotations

from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="of no use", INSTALLED_APPS=[], MIDDLEWARE=[])

from django.core.asgi import get_asgi_application  # noqa: E402  (needs the settings, as the view does)
from django.urls import path  # noqa: E402

from comfysaas.health import healthz  # noqa: E402

urlpatterns = [path("healthz", healthz)]
application = get_asgi_application()
