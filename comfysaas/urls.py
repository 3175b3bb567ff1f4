"""Every address of the site."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from accounts import confirming, sessions
from comfysaas import health, impersonating, outbox
from generations.api import api
from generations.api.docs import docs
from generations.api.errors import not_found
from generations.api.openapi import openapi_json

_everything: list[Any] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}favicon.svg", permanent=True), name="favicon"),
    path("admin/", admin.site.urls),
    path("accounts/sessions/", sessions.index, name="usersessions_list"),
    path("accounts/reauthenticate/mail/", confirming.CodeByMail.as_view(), name="account_reauthenticate_by_mail"),
    path("accounts/", include("allauth.urls")),
    path("account/impersonation/end/", impersonating.end, name="impersonation-end"),
    path("account/", include("accounts.urls")),
    path("outbox/", outbox.index, name="outbox"),
    path("outbox/<uuid:pk>/", outbox.mail, name="outbox-mail"),
    path("api/docs", docs, name="api-docs"),
    path("api/v2/openapi.json", openapi_json, name="api-openapi"),
    path("api/v2/", api.urls),
    re_path("^api/v2/", not_found),
    path("", include("generations.urls")),
]
urlpatterns = [path(settings.ROOT_PATH.lstrip("/"), include(_everything))]
