"""ComfyUI servers, and the leases by which relay processes share them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from accounts.models.encrypted import SecretTextField, revealed
from generations.comfy.catalog import digest_of

LEASE_SECONDS = 10
SEEN_SECONDS = 10  # how exact "seen at" is: relays ask busy servers every second


def validate_server_url(value: str) -> None:
    """Accept http(s) addresses, including host names without a dot (as containers have)."""
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        msg = "Enter an address such as http://10.0.0.5:8188 (a path prefix is fine, a query is not)."
        raise ValidationError(msg)


class ServerState(models.TextChoices):
    """What the relay last saw of a server."""

    UNKNOWN = "unknown", "Not looked at yet"
    ONLINE = "online", "Online"
    UNREACHABLE = "unreachable", "Unreachable"
    STUCK = "wedged", "Stuck"  # answers, takes prompts, runs none: only a restart of it helps


class ComfyServerQuerySet(models.QuerySet["ComfyServer"]):
    """Leases and states, each one conditional UPDATE that returns how many rows it changed."""

    def enabled(self) -> Self:
        """Servers that may be given work."""
        return self.filter(is_enabled=True)

    def taking_work(self) -> Self:
        """Those that can get something new right now."""
        return self.enabled().filter(is_draining=False, state=ServerState.ONLINE)

    def acquire(self, server_id: int, *, owner: str, seconds: float = LEASE_SECONDS) -> int | None:
        """Take the lease of a server if it is free. Returns the fencing token; None while another owner has it."""
        now = timezone.now()
        taken = self.filter(
            Q(lease_expires_at=None) | Q(lease_expires_at__lt=now) | Q(lease_owner=owner), pk=server_id
        ).update(
            lease_owner=owner,
            lease_token=F("lease_token") + 1,
            lease_expires_at=now + timedelta(seconds=seconds),
        )
        if not taken:
            return None
        return self.filter(pk=server_id, lease_owner=owner).values_list("lease_token", flat=True).first()

    def renew(self, server_id: int, *, token: int, seconds: float = LEASE_SECONDS) -> int:
        """Prolong the lease; 0 when another owner has it by now, or the server was deleted."""
        return self.filter(pk=server_id, lease_token=token).update(
            lease_expires_at=timezone.now() + timedelta(seconds=seconds)
        )

    def release(self, server_id: int, *, token: int) -> int:
        """Give the lease back at once, so that another relay need not wait for it to run out."""
        return self.filter(pk=server_id, lease_token=token).update(lease_owner="", lease_expires_at=None)

    def saw_online(self, server_id: int, *, version: str, is_simulator: bool = False) -> int:
        """The server answered."""
        return self.filter(pk=server_id).update(
            state=ServerState.ONLINE,
            state_message="",
            comfyui_version=version[:40],
            is_simulator=is_simulator,
            seen_at=timezone.now(),
        )

    def saw_answer(self, server_id: int) -> int:
        """The server answered once more. 0 when that was noted less than SEEN_SECONDS ago."""
        now = timezone.now()
        is_old = Q(seen_at=None) | Q(seen_at__lt=now - timedelta(seconds=SEEN_SECONDS))
        return self.filter(is_old, pk=server_id).update(seen_at=now)

    def saw_stuck(self, server_id: int, *, message: str) -> int:
        """The server answers, but runs nothing of what it is given."""
        return self.filter(pk=server_id).update(state=ServerState.STUCK, state_message=message[:500])

    def saw_nodes(self, server_id: int, *, object_info: dict[str, object]) -> int:
        """The server said what its node classes are (the answer of /object_info)."""
        return self.filter(pk=server_id).update(
            object_info=object_info, object_info_at=timezone.now(), catalog_digest=digest_of(object_info)
        )

    def loaded(self, server_id: int, files: Iterable[str]) -> int:
        """The server got work that needs these model files; none: its memory was emptied."""
        return self.filter(pk=server_id).update(loaded_models=sorted(files))

    def saw_unreachable(self, server_id: int, *, message: str) -> int:
        """The server did not answer; `message` says how."""
        return self.filter(pk=server_id).update(state=ServerState.UNREACHABLE, state_message=message[:500])


class ComfyServer(models.Model):
    """One ComfyUI process that runs workflows for us. Users never reach it."""

    name = models.CharField(max_length=80, unique=True)
    url = models.CharField(
        "URL",
        max_length=300,
        unique=True,
        validators=[validate_server_url],
        help_text="Base address, such as http://10.0.0.5:8188.",
    )
    auth_header_name = models.CharField(
        max_length=80,
        blank=True,
        help_text="Header that a proxy in front of it asks for, such as Authorization.",
    )
    auth_header_value = SecretTextField(
        blank=True, null=True, help_text="Its value, such as “Bearer …”. Stored encrypted."
    )
    slots = models.PositiveSmallIntegerField(
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Generations given to it at a time: one runs, the others wait inside ComfyUI.",
    )
    is_enabled = models.BooleanField(
        "enabled",
        default=True,
        help_text="Give it work. When you switch it off, its work goes to other servers at once.",
    )
    is_draining = models.BooleanField(
        "draining",
        default=False,
        help_text="Give it no new work, but let it finish what it has: before maintenance.",
    )
    is_history_kept = models.BooleanField(
        "keep history",
        default=False,
        db_default=False,
        help_text="Leave finished jobs in ComfyUI's history. Off: each is deleted there once its results are stored.",
    )
    are_files_offered = models.BooleanField(
        "offer its files",
        default=False,
        db_default=False,
        help_text=(
            "Whole workflows may name the files that this server lists itself, such as those in its input folder, but "
            "no results and no uploads of users. Off: users name files of their own only."
        ),
    )
    state = models.CharField(max_length=16, choices=ServerState, default=ServerState.UNKNOWN, editable=False)
    state_message = models.CharField(max_length=500, blank=True, editable=False)
    comfyui_version = models.CharField("ComfyUI version", max_length=40, blank=True, editable=False)
    is_simulator = models.BooleanField(default=False, db_default=False, editable=False)
    seen_at = models.DateTimeField("last seen", null=True, blank=True, editable=False)
    object_info = models.JSONField(null=True, blank=True, editable=False)
    object_info_at = models.DateTimeField(null=True, blank=True, editable=False)
    catalog_digest = models.CharField(
        max_length=32,
        blank=True,
        editable=False,
        db_default="",
        default="",
        help_text="Digest of object_info. It changes with it, so copies elsewhere are known to be old.",
    )
    loaded_models = models.JSONField(
        null=True, blank=True, editable=False, help_text="Model files of the last generation that named any."
    )
    lease_owner = models.CharField(max_length=120, blank=True, editable=False)
    lease_token = models.BigIntegerField(default=0, editable=False)
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ComfyServerQuerySet.as_manager()
    # The address that the stored header was given for; None: it came with the present one.
    _header_belongs_to: str | None = None

    class Meta:
        verbose_name = "ComfyUI server"
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(slots__gte=1), name="server_has_a_slot")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """A header that was given for another address is forgotten: whoever moves a server must not be sent it."""
        if self._forget_header_of_another_address() and update_fields is not None:
            update_fields = {*update_fields, "auth_header_name", "auth_header_value"}
        super().save(*args, update_fields=update_fields, **kwargs)
        self._header_belongs_to = self.url

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        """Remembers which address the header belongs to."""
        server = super().from_db(*args, **kwargs)
        server._header_belongs_to = server.__dict__.get("url")
        return server

    def refresh_from_db(self, using: str | None = None, fields: Any = None, from_queryset: Any = None) -> None:
        """As Django does it; once the address was read anew, the header that is stored belongs to that address."""
        super().refresh_from_db(using, fields, from_queryset)
        if fields is None or "url" in fields:
            self._header_belongs_to = self.url

    def give_header(self, name: str, value: str | None) -> None:
        """Send this header from now on, also to an address that is set in the same change."""
        self.auth_header_name, self.auth_header_value = name, value or None
        self._header_belongs_to = None

    def _forget_header_of_another_address(self) -> bool:
        is_moved = self._header_belongs_to not in {None, self.url.rstrip("/")}
        if is_moved:
            self.auth_header_name, self.auth_header_value = "", None
        return is_moved

    def clean(self) -> None:
        """One address is written one way, and a header has both halves."""
        self.url = self.url.rstrip("/")
        self._forget_header_of_another_address()
        if bool(self.auth_header_name) != bool(self.auth_header_value):
            msg = "Give both the header's name and its value, or neither."
            raise ValidationError(msg)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that every request to this server carries. UnreadableError: no request can be made."""
        if not self.auth_header_name:
            return {}
        return {self.auth_header_name: revealed(self.auth_header_value, f"Its header {self.auth_header_name}")}

    @property
    def is_online(self) -> bool:
        """True when the relay that holds its lease last got an answer."""
        return self.is_enabled and self.state == ServerState.ONLINE and _is_future(self.lease_expires_at)


def _is_future(moment: datetime | None) -> bool:
    return moment is not None and moment > timezone.now()
