"""Users, who sign in with their e-mail address, their plans, and the API keys they call the API with."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from allauth.account.models import EmailAddress
from django.contrib.auth.models import AbstractUser, AnonymousUser, BaseUserManager
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone

KEY_PREFIX = "csk_"
MAX_KEYS = 50
# Sent with `user_id` when a user's keys or password changed: open connections check whether they may go on.
access_changed = Signal()
# Sent with `user_id` when somebody else may have had access to the account: its webhooks are switched off, too.
access_revoked = Signal()
LAST_USED_RESOLUTION = timedelta(minutes=1)


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


class Plan(models.Model):
    """A share of the servers, and limits. Users without a plan get the defaults of these fields."""

    name = models.CharField(max_length=80, unique=True)
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.01)],
        help_text="Share of the servers when they are busy: a user with 2 gets twice as much as one with 1.",
    )
    priority = models.SmallIntegerField(
        default=0, help_text="Users with a higher number always come first. Prefer weights."
    )
    max_concurrent = models.PositiveIntegerField(
        "max running",
        default=8,
        validators=[MinValueValidator(1)],
        help_text="Generations of a user that may run or be next in the queue. Further ones are held.",
    )
    max_queued = models.PositiveIntegerField(
        default=200,
        validators=[MinValueValidator(1)],
        help_text="Generations of a user that may wait. Further ones are refused until some are done.",
    )

    requests_per_minute = models.PositiveIntegerField(
        default=1200, help_text="Requests to the API that a user may make, with all keys together. 0 means no limit."
    )
    max_streams = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1)], help_text="Event streams of the API that a user may have open."
    )
    max_sockets = models.PositiveIntegerField(
        default=100,
        db_default=100,
        validators=[MinValueValidator(1)],
        help_text="Websockets that a user may have open. A page needs one for each running generation.",
    )

    pages_per_minute = models.PositiveIntegerField(
        default=3000,
        db_default=3000,
        help_text="Pages, and pictures in them, that a user may open. 0 means no limit.",
    )
    uploads_per_minute = models.PositiveIntegerField(
        default=300,
        db_default=300,
        help_text="Files that a user may upload, and addresses that a user may have fetched. 0 means no limit.",
    )
    max_storage_mb = models.PositiveIntegerField(
        "max storage in MB",
        default=51_200,
        db_default=51_200,
        help_text="Size of a user's uploads and results. Above it, new uploads and new generations are refused; "
        "results of accepted ones are kept. 0 means no limit.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(weight__gt=0), name="plan_weight_positive"),
            models.CheckConstraint(
                condition=models.Q(max_concurrent__gte=1, max_queued__gte=1), name="plan_lets_something_run"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def max_storage_bytes(self) -> int:
        """0 means no limit."""
        return self.max_storage_mb * 2**20


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

    objects = UserManager()  # type: ignore[misc,assignment]  # replaces the manager that wants user names

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_whatever_case")]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Has open connections check whether they may go on: the password or “active” may have changed."""
        is_new = self._state.adding
        super().save(*args, **kwargs)
        if not is_new and "last_login" not in (kwargs.get("update_fields") or ()):
            access_changed.send(sender=User, user_id=self.pk)

    def lock(self) -> User:
        """This user's row as it is now. Lock it before you count something that a plan limits, and add to it."""
        # Without the key: rows that merely refer to this user go on being written.
        return User.objects.select_for_update(no_key=True).get(pk=self.pk)

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
    def limits(self) -> Plan:
        """The plan, or the usual limits."""
        return self.plan or Plan()


class Scope(models.TextChoices):
    """What a key may be used for."""

    READ = "read", "Read templates, jobs and files"
    RUN = "run", "Run templates; cancel and delete jobs and files"
    RAW = "raw", "Run whole workflows, if you have that permission"
    MANAGE = "manage", "Manage keys and webhooks; for staff, templates and servers"


ALL_SCOPES = tuple(scope.value for scope in Scope)
USUAL_SCOPES = (Scope.READ.value, Scope.RUN.value)


def all_scopes() -> list[str]:
    """What a key may do for which nobody chose scopes: everything. A list of its own for each key."""
    return list(ALL_SCOPES)


class TooManyKeysError(Exception):
    """This user has MAX_KEYS keys that work."""


class KeyRefusedError(Exception):
    """The user or the key may not make this key; `str()` says why."""


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self) -> ApiKeyQuerySet:
        """Keys that are neither revoked nor expired, of users who may still sign in."""
        return self.filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now()),
            revoked_at=None,
            user__is_active=True,
        )

    def for_user(self, user: User | AnonymousUser) -> ApiKeyQuerySet:
        """This user's own keys that were not revoked: one outside this set is a 404, for staff too."""
        return self.filter(user=user, revoked_at=None) if user.is_authenticated else self.none()

    def issue(
        self,
        *,
        user: User,
        name: str,
        scopes: Iterable[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
        requests_per_minute: int = 0,
        by: ApiKey | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown once and stored only as a hash. TooManyKeysError, KeyRefusedError.

        `by`: the key that makes it. The new one has no further scopes and does not outlive it.
        """
        chosen = set(scopes)
        if by is not None:
            by.check_heir(chosen)
            expires_at = min((each for each in (expires_at, by.expires_at) if each), default=None)
        prefix = secrets.token_hex(6)
        secret = f"{KEY_PREFIX}{prefix}_{secrets.token_urlsafe(32)}"
        with transaction.atomic():
            self._check_may_issue(user, by)
            if self.filter(user=user).usable().count() >= MAX_KEYS:
                raise TooManyKeysError
            key = self.create(
                user=user,
                name=name,
                prefix=prefix,
                secret_hash=_hash(secret),
                scopes=[scope for scope in ALL_SCOPES if scope in chosen],
                expires_at=expires_at,
                requests_per_minute=requests_per_minute,
            )
        return key, secret

    def _check_may_issue(self, user: User, by: ApiKey | None) -> None:
        now = user.lock()
        is_gone = by is not None and not self.usable().filter(pk=by.pk).exists()
        if is_gone or not now.is_active or now.password != user.password:
            msg = "Your access changed a moment ago. Sign in again."
            raise KeyRefusedError(msg)
        if not now.is_verified:
            msg = "Confirm your e-mail address first: open the link in the e-mail that we sent you."
            raise KeyRefusedError(msg)

    def revoke(self) -> int:
        """Revoke these keys at once and close their connections. The number of keys that were still valid."""
        users = set(self.filter(revoked_at=None).values_list("user", flat=True))
        changed = self.filter(revoked_at=None).update(revoked_at=timezone.now())
        for user_id in users:
            access_changed.send(sender=ApiKey, user_id=user_id)
        return changed

    def authenticate(self, secret: str) -> ApiKey | None:
        """The usable key with this secret, or None. Notes the use, at most once a minute."""
        prefix = secret.removeprefix(KEY_PREFIX).split("_", 1)[0]
        key = self.usable().select_related("user__plan").filter(prefix=prefix).first()
        # The same work without a key, so that the time of the answer does not show which prefixes exist.
        expected = key.secret_hash if key else _hash("")
        if not hmac.compare_digest(expected, _hash(secret)) or key is None:
            return None
        now = timezone.now()
        if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION:
            self.filter(pk=key.pk).update(last_used_at=now)
        return key


class ApiKey(models.Model):
    """A secret that lets a program act as a user. Only its SHA-256 is stored: it has 256 random bits."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=all_scopes, help_text="What the key may do.")
    requests_per_minute = models.PositiveIntegerField(
        default=0, help_text="Requests that this key may make. 0 means that only the user's limit counts."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def hint(self) -> str:
        """The part that may be shown, to tell keys apart."""
        return f"{KEY_PREFIX}{self.prefix}_…"

    def check_heir(self, scopes: set[str]) -> None:
        """KeyRefusedError when this key must not make a key with these scopes."""
        if self.requests_per_minute:
            # However small their limits, enough keys add up to more than this one has.
            msg = "A key with its own request limit cannot make keys. Use the page “API keys” or another key."
            raise KeyRefusedError(msg)
        if beyond := scopes - set(self.scopes):
            msg = f"This key lacks scopes that the new one would have: {', '.join(sorted(beyond))}."
            raise KeyRefusedError(msg)

    @property
    def is_expired(self) -> bool:
        """True when `expires_at` has passed."""
        return self.expires_at is not None and self.expires_at <= timezone.now()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
