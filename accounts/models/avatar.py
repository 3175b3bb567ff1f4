"""Pictures of people."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db import models

from accounts.models.user import User
from accounts.models.workspace import Membership, Workspace


class AvatarQuerySet(models.QuerySet["Avatar"]):
    def for_member(self, user: User | AnonymousUser) -> AvatarQuerySet:
        """Those of people with whom this person shares a workspace that is open, and their own. Others are a 404."""
        mine = Workspace.objects.for_member(user).open()
        return self.filter(user__in=Membership.objects.filter(workspace__in=mine).values("user"))


class Avatar(models.Model):
    """A person's picture, as we encoded it. It is small, and a row: it goes with the account."""

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="avatar")
    picture = models.BinaryField(help_text="WebP, at most 512 pixels wide and high.")

    objects = AvatarQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Picture of {self.user}"
