"""Users, who sign in with their e-mail address."""

from __future__ import annotations

from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models, transaction
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts.models.plan import Plan

# Sent with `user_id` when a user's keys or password changed: open connections check whether they may go on.
access_changed = Signal()
# Sent with `user_id` when somebody else may have had access to the account: its webhooks are switched off, too.
access_revoked = Signal()
# Sent with `user_id` in the transaction that suspends a person: from then on, no work of that person may start.
access_suspended = Signal()

# Sent with `user_id` and `workspace_id` in the transaction that ends a membership: nothing of it may start any more.
membership_ended = Signal()
# Sent with `workspace_id` in the transaction that closes a team: nothing of it may start any more, and open connections
# check whether they may go on.
workspace_closed = Signal()
# Sent with `workspace_id` and `until` (time.monotonic) before a team is deleted. Receivers delete what belongs to it,
# and answer whether all of it is gone.
workspace_emptying = Signal()
# Sent with `workspace` and `user_ids` when an admin looks at members of a team. Receivers
# answer what each of them uses.
usage_asked = Signal()

# Written by statements alone (of `accounts.standing`, and as mails go out): who saves an older copy of the row changes
# none of it.
STANDING = frozenset(
    {
        "suspended_at",
        "suspension_reason",
        "suspended_by",
        "session_epoch",
        "closed_at",
        "delete_after",
        "notified_until",
    }
)


class SuspendedError(Exception):
    """This person's account is suspended; `person` where the caller knows more than that somebody is."""

    def __init__(self, person: User | None = None) -> None:
        super().__init__("This account is suspended.")
        self.person = person


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address. Addresses are compared without regard to case."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A new user whose address whoever runs the site vouches for. ValueError without an address.

        Without a password nobody can sign in as this user.
        """
        if not email:
            msg = "A user needs an e-mail address."
            raise ValueError(msg)
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        with transaction.atomic(using=self._db):
            user.save(using=self._db)
            user.vouch()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """The user with this address, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person with an account. There is no user name: the e-mail address is the identity."""

    username = None  # type: ignore[assignment]  # AbstractUser's field, taken out as Django documents it
    email = models.EmailField("e-mail address", unique=True)
    plan = models.ForeignKey(
        Plan,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="users",
        help_text="This user's share of the servers, and limits. Empty means the usual ones.",
    )

    suspended_at = models.DateTimeField(null=True, blank=True, editable=False)
    suspension_reason = models.TextField(blank=True, default="", db_default="", editable=False)
    suspended_by = models.ForeignKey(
        "self", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    closed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the person asked for the account to be deleted. Until it is, it is suspended since then.",
    )
    delete_after = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it is deleted. Until then, the person can keep it.",
    )
    session_epoch = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="Counts up when all sessions end at once."
    )

    time_zone = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="In which pages show moments. Empty: UTC."
    )
    avatar_hash = models.CharField(max_length=16, blank=True, default="", db_default="", editable=False)

    notify_after_minutes = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="A mail says when a run that took as long or longer has ended. Empty: none does.",
    )
    notified_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Of runs that ended before, no mail is sent any more."
    )

    objects = UserManager()  # type: ignore[misc,assignment]  # replaces the manager that wants user names

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        permissions = [
            ("suspend_user", "Can suspend and reinstate people, and sign them out"),
            ("impersonate_user", "Can impersonate people"),
        ]
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_whatever_case"),
            models.CheckConstraint(
                condition=models.Q(closed_at=None, delete_after=None)
                | models.Q(closed_at__isnull=False, delete_after__isnull=False, suspended_at__isnull=False),
                name="user_closed_until_deleted",
            ),
        ]
        indexes = [
            models.Index("delete_after", name="user_closed", condition=models.Q(delete_after__isnull=False)),
            models.Index(
                "notified_until", name="user_notified", condition=models.Q(notify_after_minutes__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Has open connections check whether they may go on: the password or “active” may have changed."""
        is_new = self._state.adding
        wanted = kwargs.get("update_fields") or ()
        if not is_new and not wanted:
            loaded = {each.name for each in self._meta.concrete_fields if not each.primary_key}
            deferred = {each.name for each in self._meta.concrete_fields if each.attname in self.get_deferred_fields()}
            kwargs["update_fields"] = loaded - deferred - STANDING
        with transaction.atomic():  # with the personal workspace, which a receiver makes
            super().save(*args, **kwargs)
        if not is_new and "last_login" not in wanted:
            access_changed.send(sender=User, user_id=self.pk)

    def lock(self) -> User:
        """This user's row as it is now. Lock it before you count something that a plan limits, and add to it."""
        # Without the key: rows that merely refer to this user go on being written.
        return User.objects.select_for_update(no_key=True).get(pk=self.pk)

    @property
    def is_suspended(self) -> bool:
        """True from the moment that staff suspend this person until they reinstate them, and while the account waits
        to be deleted.
        """
        return self.suspended_at is not None

    @property
    def is_closed(self) -> bool:
        """Whether the person asked for the account to be deleted, which it is after `delete_after`."""
        return self.closed_at is not None

    @property
    def may_keep(self) -> bool:
        """Whether the account only waits to be deleted: nobody suspended it besides, and it is not too late."""
        return (
            self.delete_after is not None and self.suspended_at == self.closed_at and timezone.now() < self.delete_after
        )

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What each session carries: it ends with another password, and when `session_epoch` counts up."""
        before: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]  # not in the stubs
        if not self.session_epoch:
            return before
        salt = "accounts.models.User.session_epoch"
        return salted_hmac(salt, f"{before} {self.session_epoch}", secret=secret, algorithm="sha256").hexdigest()

    @property
    def is_verified(self) -> bool:
        """True when this person confirmed the address, or whoever runs the site vouches for it."""
        return bool(EmailAddress.objects.filter(user=self.pk, email__iexact=self.email, verified=True).exists())

    def vouch(self) -> None:
        """Verify this user's address without a mail. Earlier addresses no longer open the account."""
        EmailAddress.objects.filter(user=self.pk).exclude(email=self.email.lower()).delete()
        found = {"verified": True, "primary": True}
        EmailAddress.objects.update_or_create(user_id=self.pk, email=self.email.lower(), defaults=found)

    def revoke_access(self) -> None:
        """Revoke every key and switch off every webhook, because somebody else may have had access."""
        self.api_keys.all().revoke()
        access_revoked.send(sender=User, user_id=self.pk)

    @property
    def shown_name(self) -> str:
        """What other members call this person: the name, or the address without one."""
        return self.get_full_name() or self.email

    @property
    def tint(self) -> int:
        """Which of six colours stands for this person who has no picture."""
        return int(self.pk) % 6

    @property
    def limits(self) -> Plan:
        """The plan, or the usual limits."""
        return self.plan or Plan()
