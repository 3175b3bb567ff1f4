"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path

from comfysaas import health
from generations.api import api

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.account.urls")),
    path("api/v2/", api.urls),
    path("", include("generations.urls")),
]
