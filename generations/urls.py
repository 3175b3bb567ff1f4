"""Pages and files of the generations app."""

from django.urls import path

from generations.web import data, files, pages, profile, storage, webhooks

urlpatterns = [
    path("", pages.gallery, name="gallery"),
    path("open/", pages.open_result, name="open-result"),
    path("templates/<slug:slug>/", pages.template, name="template"),
    path("templates/<slug:slug>/cover/", files.cover, name="template-cover"),
    path("generations/", pages.history, name="history"),
    path("generations/<uuid:pk>/", pages.generation, name="generation"),
    path("generations/<uuid:pk>/panel/", pages.panel, name="generation-panel"),
    path("generations/<uuid:pk>/cancel/", pages.cancel, name="generation-cancel"),
    path("generations/<uuid:pk>/rerun/", pages.rerun, name="generation-rerun"),
    path("generations/<uuid:pk>/delete/", pages.delete, name="generation-delete"),
    path("account/profile/", profile.index, name="profile"),
    path("account/profile/picture/", profile.picture, name="profile-picture"),
    path("account/people/<int:pk>/picture/", profile.avatar, name="avatar"),
    path("account/webhooks/", webhooks.index, name="webhooks"),
    path("account/webhooks/<uuid:pk>/", webhooks.detail, name="webhook"),
    path("account/webhooks/<uuid:pk>/log/", webhooks.log, name="webhook-log"),
    path("account/webhooks/<uuid:pk>/switch/", webhooks.switch, name="webhook-switch"),
    path("account/webhooks/<uuid:pk>/delete/", webhooks.delete, name="webhook-delete"),
    path("account/webhooks/<uuid:pk>/test/", webhooks.send_test, name="webhook-test"),
    path("account/webhooks/<uuid:pk>/<uuid:delivery>/again/", webhooks.redeliver, name="webhook-redeliver"),
    path("account/data/", data.index, name="data"),
    path("account/data/export/", data.export, name="data-export"),
    path("account/data/<uuid:pk>/", data.download, name="data-download"),
    path("account/workspaces/<uuid:public_id>/export/", data.export_team, name="workspace-export"),
    path("account/storage/", storage.index, name="storage"),
    path("account/storage/delete/", storage.delete_all, name="storage-delete-all"),
    path("account/storage/<uuid:pk>/delete/", storage.delete, name="storage-delete"),
    path("assets/<uuid:pk>/", files.asset, name="asset"),
    path("assets/<uuid:pk>/thumbnail/", files.thumbnail, name="asset-thumbnail"),
]
