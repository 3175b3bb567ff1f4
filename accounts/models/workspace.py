"""Workspaces, to which people's work belongs: everybody has a personal one, and teams share others."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Self, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from accounts.models.plan import Plan
from accounts.models.user import User

GRACE = timedelta(days=14)  # between dissolving a team and deleting it
PERSONAL = "Personal"


class Role(models.TextChoices):
    """What a member may do, from most to least."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"

    @property
    def rank(self) -> int:
        """Greater for those who may do more."""
        return {Role.OWNER: 2, Role.ADMIN: 1, Role.MEMBER: 0}[self]


class WorkspaceQuerySet(models.QuerySet["Workspace"]):
    def for_member(self, user: User | AnonymousUser) -> WorkspaceQuerySet:
        """Those this person is a member of: one outside this set is a 404, for staff too."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(pk__in=Membership.objects.filter(user=user).values("workspace"))

    def open(self) -> WorkspaceQuerySet:
        """Those that are not being dissolved."""
        return self.filter(dissolve_after=None)

    def personal_of(self, user: User) -> Workspace:
        """This person's own. Made now for somebody who has none yet, because an earlier release made the account."""
        found = self.filter(person=user).first()
        if found is not None:
            return found
        try:
            with transaction.atomic():
                return self.give_personal(user)
        except IntegrityError:  # another request was faster
            return self.get(person=user)

    def give_personal(self, user: User) -> Workspace:
        """A new one for a person who has none. IntegrityError for one who has."""
        workspace = self.create(name=PERSONAL, person=user, plan_id=user.plan_id)
        Membership.objects.create(workspace=workspace, user=user, role=Role.OWNER)
        return workspace


class Workspace(models.Model):
    """What generations, files, keys and limits belong to: a person's own, or a team's."""

    public_id = models.UUIDField("ID", default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=80)
    person = models.OneToOneField(
        User,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.CASCADE,
        related_name="personal_workspace",
        help_text="Whose personal workspace this is. Empty for teams.",
    )
    plan = models.ForeignKey(
        Plan,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="workspaces",
        help_text="This workspace's share of the servers, and limits. Empty means the usual ones.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    dissolve_after = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it is deleted. Until then, owners can keep it.",
    )

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="workspace_has_name"),
            models.CheckConstraint(
                condition=Q(person=None) | Q(dissolve_after=None), name="workspace_personal_ones_stay"
            ),
        ]
        indexes = [
            models.Index("dissolve_after", name="workspace_dissolving", condition=Q(dissolve_after__isnull=False))
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.person})" if self.person else self.name

    @property
    def is_personal(self) -> bool:
        """Whether it is one person's own, which nobody else can join."""
        return self.person_id is not None

    @property
    def is_dissolving(self) -> bool:
        """Whether it is closed, and deleted after `dissolve_after`."""
        return self.dissolve_after is not None

    @property
    def limits(self) -> Plan:
        """The plan, or the usual limits."""
        return self.plan or Plan()


class MembershipQuerySet(models.QuerySet["Membership"]):
    def for_member(self, user: User | AnonymousUser) -> MembershipQuerySet:
        """All memberships of the workspaces this person is a member of. One outside this set is a 404."""
        return self.filter(workspace__in=Workspace.objects.for_member(user))

    def of(self, user: User | AnonymousUser) -> MembershipQuerySet:
        """This person's own memberships."""
        return self.filter(user=user) if user.is_authenticated else self.none()

    def owners(self) -> MembershipQuerySet:
        """Owners who can sign in. Those who were suspended or deactivated cannot look after a team."""
        return self.filter(role=Role.OWNER, user__is_active=True, user__suspended_at=None)

    def mentioning(self, text: str) -> MembershipQuerySet:
        """Members whose address or name contains each of these words."""
        rows = self
        for word in text.split():
            found = Q(user__email__icontains=word) | Q(user__first_name__icontains=word)
            rows = rows.filter(found | Q(user__last_name__icontains=word))
        return rows

    def page(self, size: int, *, after: str = "") -> tuple[list[Membership], str]:
        """(up to `size` members with their users, by address, behind the address `after`; `after` of the next page).

        "" when there is no next page.
        """
        rows = self.filter(user__email__gt=after) if after else self
        found = list(rows.select_related("user").order_by("user__email")[: size + 1])
        return found[:size], found[size - 1].user.email if len(found) > size else ""


class Membership(models.Model):
    """That a person belongs to a workspace, with which role, and how much of the workspace's limits they may use."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    max_concurrent = models.PositiveIntegerField(
        "max running",
        null=True,
        blank=True,
        help_text="Generations of this member that may run at the same time. Empty means as many as the workspace's.",
    )
    max_queued = models.PositiveIntegerField(
        "max waiting",
        null=True,
        blank=True,
        help_text="Generations of this member that may wait. Empty means as many as the workspace's.",
    )
    max_jobs_per_month = models.PositiveIntegerField(
        "generations a month",
        null=True,
        blank=True,
        help_text="Generations that this member may start in a calendar month (UTC). Empty means no limit.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace}"

    @property
    def rank(self) -> int:
        """Greater for those who may do more."""
        return Role(self.role).rank

    @property
    def is_owner(self) -> bool:
        """Whether this member may do everything in the workspace."""
        return self.role == Role.OWNER

    @property
    def is_admin(self) -> bool:
        """Whether this member may invite people and look after members: admins and owners."""
        return self.rank >= Role.ADMIN.rank


Row = TypeVar("Row", bound=models.Model)


class WorkspaceRows(models.QuerySet[Row]):
    """Rows that belong to workspaces, and the doors to them: one outside these sets is a 404, for staff too."""

    workspace_path = "workspace"  # from a row to its workspace

    def for_member(self, user: User | AnonymousUser) -> Self:
        """Those of all workspaces that this person is a member of, and that are open."""
        return self.filter(**{f"{self.workspace_path}__in": Workspace.objects.for_member(user).open()})

    def in_workspace(self, workspace: Workspace) -> Self:
        """Those of the workspace that a request works in: see `accounts.current`, which asks for the membership."""
        return self.filter(**{self.workspace_path: workspace})

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> Any:
        """Write them; those that name no workspace belong to their user's own."""
        objs, own = list(objs), dict[int, int]()
        for row in objs:
            if isinstance(row, InWorkspace) and row.workspace_id is None:
                if row.user_id not in own:
                    own[row.user_id] = Workspace.objects.personal_of(row.user).pk
                row.workspace_id = own[row.user_id]
        return super().bulk_create(objs, *args, **kwargs)


class InWorkspace(models.Model):
    """What a person made in a workspace, to which it belongs from then on."""

    user: models.ForeignKey[Any, User]
    user_id: int
    # Empty for no row: PostgreSQL fills in what the release before this one leaves out.
    workspace = models.ForeignKey(  # each table has indexes that begin with it
        Workspace, null=True, editable=False, on_delete=models.CASCADE, related_name="+", db_index=False
    )

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write it; a new one that names no workspace belongs to its user's own."""
        if self._state.adding and self.workspace_id is None:
            self.workspace = Workspace.objects.personal_of(self.user)
        super().save(*args, **kwargs)


@receiver(post_save, sender=User)
def _keep_personal_workspace(
    instance: User, created: bool, raw: bool = False, update_fields: Any = None, **_: Any
) -> None:
    """A new account gets its workspace with it (`User.save` is one transaction); a new plan reaches both.

    The release before this one reads the plan of the user.
    """
    if raw:
        return
    if created:
        Workspace.objects.give_personal(instance)
    elif update_fields is None or "plan" in update_fields:
        Workspace.objects.filter(person=instance).update(plan=instance.plan_id)
