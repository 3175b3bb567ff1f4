"""The account's pages that django-allauth does not have."""

from django.urls import path

from accounts import closing_pages, invitation_pages, views, workspace_pages

urlpatterns = [
    path("delete/", closing_pages.close, name="account-close"),
    path("keep/", closing_pages.keep, name="account-keep"),
    path("keys/", views.keys, name="api-keys"),
    path("keys/<slug:prefix>/revoke/", views.revoke_key, name="api-key-revoke"),
    path("workspaces/", workspace_pages.index, name="workspaces"),
    path("workspaces/<uuid:public_id>/", workspace_pages.detail, name="workspace"),
    path("workspaces/<uuid:public_id>/switch/", workspace_pages.switch, name="workspace-switch"),
    path("workspaces/<uuid:public_id>/rename/", workspace_pages.rename, name="workspace-rename"),
    path("workspaces/<uuid:public_id>/leave/", workspace_pages.leave, name="workspace-leave"),
    path("workspaces/<uuid:public_id>/dissolve/", workspace_pages.dissolve, name="workspace-dissolve"),
    path("workspaces/<uuid:public_id>/keep/", workspace_pages.keep, name="workspace-keep"),
    path("workspaces/<uuid:public_id>/members/<int:pk>/", workspace_pages.member, name="workspace-member"),
    path("workspaces/<uuid:public_id>/members/<int:pk>/remove/", workspace_pages.remove, name="workspace-remove"),
    path("workspaces/<uuid:public_id>/members/<int:pk>/transfer/", workspace_pages.transfer, name="workspace-transfer"),
    path("workspaces/<uuid:public_id>/invitations/", invitation_pages.index, name="workspace-invitations"),
    path("workspaces/<uuid:public_id>/invitations/<int:pk>/renew/", invitation_pages.renew, name="invitation-renew"),
    path("workspaces/<uuid:public_id>/invitations/<int:pk>/revoke/", invitation_pages.revoke, name="invitation-revoke"),
    path("invitations/<int:pk>/accept/", invitation_pages.accept_addressed, name="invitation-accept"),
    path("invitations/<str:token>/", invitation_pages.accept, name="invitation"),
]
