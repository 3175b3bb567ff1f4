"""API keys, with which programs act as users."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.utils import timezone

from accounts.models.user import User, access_changed
from accounts.models.workspace import Membership, Workspace, WorkspaceRows
from accounts.statements import Kept, Slot

KEY_PREFIX = "csk_"
MAX_KEYS = 50
LAST_USED_RESOLUTION = timedelta(minutes=1)


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


class ApiKeyQuerySet(WorkspaceRows["ApiKey"]):
    def usable(self) -> ApiKeyQuerySet:
        """Keys with which somebody may call: `valid`, and not of somebody who is suspended."""
        return self.valid().filter(user__suspended_at=None)

    def valid(self, at: datetime | Slot | None = None) -> ApiKeyQuerySet:
        """Keys that are neither revoked nor expired (now or `at` a moment), of active users, suspended or not, in
        workspaces that stay.
        """
        return self.filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=at or timezone.now()),
            revoked_at=None,
            user__is_active=True,
            workspace__dissolve_after=None,
        )

    def for_member(self, user: User | AnonymousUser) -> ApiKeyQuerySet:
        """This person's own keys that were not revoked: one outside this set is a 404, for admins and staff too."""
        if not user.is_authenticated:
            return self.none()
        return super().for_member(user).filter(user=user, revoked_at=None)

    def issue(
        self,
        *,
        user: User,
        name: str,
        scopes: Iterable[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
        requests_per_minute: int = 0,
        by: ApiKey | None = None,
        workspace: Workspace | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown once and stored only as a hash. TooManyKeysError, KeyRefusedError.

        `by`: the key that makes it. The new one is for the same workspace, has no further scopes and does not outlive
        it. `workspace`: where the key works; by default in the user's own.
        """
        chosen = set(scopes)
        if by is not None:
            by.check_heir(chosen)
            workspace = by.workspace
            expires_at = min((each for each in (expires_at, by.expires_at) if each), default=None)
        prefix = secrets.token_hex(6)
        secret = f"{KEY_PREFIX}{prefix}_{secrets.token_urlsafe(32)}"
        with transaction.atomic():
            self._check_may_issue(user, by)
            workspace = workspace or Workspace.objects.personal_of(user)
            # Locked, so that the key is not made beside the end of the membership, which revokes keys.
            # (`exists()` would lock the joined workspace, too, and deadlock with that.)
            mine = Membership.objects.of(user).filter(workspace=workspace, workspace__dissolve_after=None)
            if mine.select_for_update(of=("self",), no_key=True).first() is None:
                msg = "You are not a member of this workspace any more."
                raise KeyRefusedError(msg)
            if self.filter(user=user).usable().count() >= MAX_KEYS:
                raise TooManyKeysError
            key = self.create(
                user=user,
                workspace=workspace,
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
        if is_gone or now.is_suspended or not now.is_active or now.password != user.password:
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

    def is_of_dissolving(self, secret: str) -> bool:
        """Whether this is the secret of a key that does not work only because its team is being dissolved."""
        prefix = secret.removeprefix(KEY_PREFIX).split("_", 1)[0]
        in_time = models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now())
        rows = self.filter(in_time, prefix=prefix, revoked_at=None, workspace__dissolve_after__isnull=False)
        found = rows.values_list("secret_hash", flat=True).first()
        return found is not None and hmac.compare_digest(found, _hash(secret))

    def authenticate(self, secret: str) -> ApiKey | None:
        """The valid key with this secret, or None. Notes the use, at most once a minute.

        Its user may be suspended, which is loaded with the key: the caller looks.
        """
        prefix = secret.removeprefix(KEY_PREFIX).split("_", 1)[0]
        key = _BY_PREFIX.first(prefix=prefix, now=timezone.now())
        # The same work without a key, so that the time of the answer does not show which prefixes exist.
        expected = key.secret_hash if key else _hash("")
        if not hmac.compare_digest(expected, _hash(secret)) or key is None:
            return None
        now = timezone.now()
        if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION:
            self.filter(pk=key.pk).update(last_used_at=now)
        return key


_BY_PREFIX = Kept(
    lambda: (
        ApiKey.objects.valid(Slot("now", models.DateTimeField()))
        .select_related("user", "workspace__plan")
        .order_by()
        .filter(prefix=Slot("prefix", models.CharField()))
    )
)


class ApiKey(models.Model):
    """A secret that lets a program act as a user. Only its SHA-256 is stored: it has 256 random bits."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    # Empty for keys that the release before made; they work in the user's own.
    workspace = models.ForeignKey(
        Workspace, null=True, editable=False, on_delete=models.CASCADE, related_name="api_keys"
    )
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
