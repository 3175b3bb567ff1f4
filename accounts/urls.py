"""The account's pages that django-allauth does not have."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("keys/", views.keys, name="api-keys"),
    path("keys/<slug:prefix>/revoke/", views.revoke_key, name="api-key-revoke"),
]
