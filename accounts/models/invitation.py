"""Invitations to workspaces, by mail or by a link for whoever has it."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from allauth.account.models import EmailAddress
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models.user import User
from accounts.models.workspace import Membership, Role, Workspace

LIFETIME = timedelta(days=7)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def for_member(self, user: User | AnonymousUser) -> InvitationQuerySet:
        """Those of workspaces where this person is an admin or owner. One outside this set is a 404."""
        mine = Membership.objects.of(user).filter(role__in=(Role.OWNER, Role.ADMIN))
        return self.filter(workspace__in=mine.values("workspace"))

    def pending(self) -> InvitationQuerySet:
        """Neither accepted nor revoked; those that expired are among them."""
        return self.filter(accepted_at=None, revoked_at=None)

    def usable(self) -> InvitationQuerySet:
        """Those that can be accepted now. What people sent who were suspended or deactivated since, waits with them."""
        able = Q(invited_by=None) | Q(invited_by__is_active=True, invited_by__suspended_at=None)
        return self.pending().filter(able, expires_at__gt=timezone.now(), workspace__dissolve_after=None)

    def addressed_to(self, user: User | AnonymousUser) -> InvitationQuerySet:
        """Usable ones for an address that this person confirmed: they need no link, should the mail be lost."""
        if not user.is_authenticated:
            return self.none()
        return self.usable().filter(email__in=_addresses(user)).exclude(email="")

    def with_token(self, token: str) -> Invitation | None:
        """The invitation that this link leads to, whatever its state, with workspace and inviter."""
        return self.select_related("workspace", "invited_by").filter(token_hash=hash_of(token)).first()


class Invitation(models.Model):
    """Lets one person join a workspace: whoever confirmed the address, or whoever has the link if there is none.

    Only the SHA-256 of the link's token is stored: it has 256 random bits.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField("e-mail address", blank=True, help_text="Empty lets whoever has the link join.")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    sent_at = models.DateTimeField(
        null=True, editable=False, help_text="When the last mail was written. Empty for links."
    )
    mails = models.PositiveIntegerField(default=0, db_default=0, editable=False, help_text="How many were written.")
    accepted_at = models.DateTimeField(null=True, editable=False)
    accepted_by = models.ForeignKey(User, null=True, editable=False, on_delete=models.SET_NULL, related_name="+")
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "email"],
                condition=Q(accepted_at=None, revoked_at=None) & ~Q(email=""),
                name="invitation_once_an_address",
            ),
            models.CheckConstraint(
                condition=Q(role__in=[Role.ADMIN.value, Role.MEMBER.value]), name="invitation_makes_no_owner"
            ),
        ]
        indexes = [
            models.Index("email", name="invitation_email", condition=~Q(email="")),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'Whoever has the link'} to {self.workspace}"

    @property
    def is_expired(self) -> bool:
        """Whether `expires_at` has passed."""
        return self.expires_at <= timezone.now()

    @property
    def is_usable(self) -> bool:
        """Whether it can be accepted now, as far as its own row says."""
        return self.accepted_at is None and self.revoked_at is None and not self.is_expired

    def is_for(self, user: User) -> bool:
        """Whether this person may accept it: the address is one that they confirmed, or there is none."""
        return not self.email or self.email in _addresses(user)

    def draw_token(self) -> str:
        """A new token, which makes earlier links invalid once the row is saved (`token_hash`, `expires_at`)."""
        token = secrets.token_urlsafe(32)
        self.token_hash = hash_of(token)
        self.expires_at = timezone.now() + LIFETIME
        return token


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _addresses(user: User) -> set[str]:
    confirmed = EmailAddress.objects.filter(user=user.pk, verified=True).values_list("email", flat=True)
    return {str(each).lower() for each in confirmed}
