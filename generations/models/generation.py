"""Generations and their life cycle.

    QUEUED -> SUBMITTED -> RUNNING -> STORING -> SUCCEEDED
                                             \\-> FAILED, CANCELED (from any of them)

Every transition is one conditional UPDATE on the old status, fenced by `prompt_id` where an upstream attempt is
concerned, and returns the number of rows it changed. 0 means that somebody else was faster, which is fine.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypedDict

from django.conf import settings
from django.db import connections, models
from django.db.models import Case, Exists, F, OuterRef, Q, When
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.models import InWorkspace, WorkspaceRows
from accounts.models.encrypted import SecretTextField
from accounts.statements import KeptUpdate, Slot
from generations.comfy import editor_notes, queued
from generations.comfy.catalog import Needs, Value, as_values
from generations.comfy.graph import Graph
from generations.models import searching
from generations.models.asset import Asset
from generations.models.history import HistoryQuerySet
from generations.models.queue import Outlook
from generations.models.server import ComfyServer
from generations.models.template import TemplateVersion, WorkflowTemplate
from generations.models.webhook import Webhook
from generations.parameters.bind import bind

if TYPE_CHECKING:
    from accounts.models import User

MESSAGE_LENGTH = 2000


class Status(models.TextChoices):
    """Where a generation stands."""

    QUEUED = "queued", "Queued"  # durable, waits for a server
    SUBMITTED = "submitted", "Waiting"  # claimed for one server, waits in its queue
    RUNNING = "running", "Running"  # that server executes it
    STORING = "storing", "Saving results"  # executed; its outputs are being copied to the storage
    SUCCEEDED = "succeeded", "Done"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"


UPSTREAM = (Status.SUBMITTED, Status.RUNNING)
TERMINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)
ACTIVE = (Status.QUEUED, *UPSTREAM, Status.STORING)
IN_LINE = Q(status=Status.QUEUED, tag__isnull=False)
HELD = Q(status=Status.QUEUED, tag__isnull=True)
IN_PLAY = Q(status__in=(Status.QUEUED, *UPSTREAM), tag__isnull=False)  # in line, or on a server


class Retry(Enum):
    """Why a generation is run once more."""

    LOST = "lost"  # its server forgot it, died or was stopped by somebody: counts
    WITHDRAWN = "withdrawn"  # its server was switched off in the admin
    OUT_OF_MEMORY = "out of memory"  # once, after the server's memory was freed
    FILE_GONE = "file gone"  # once, past ComfyUI's cache, which named a file that is not there any more


class Failure(NamedTuple):
    """Why a generation failed. Everything but `detail` is shown to its owner; `detail` is for staff."""

    code: str
    message: str
    node_id: str = ""
    node_title: str = ""
    class_type: str = ""
    detail: Any = None


class WarningItem(TypedDict):
    """What is missing from a result that is good otherwise."""

    code: str
    message: str
    node_id: str
    name: str  # of the file, as ComfyUI called it


class Run(NamedTuple):
    """What ComfyUI reported of a run that ended well, and its moments."""

    outputs: dict[str, Any]
    started_at: datetime
    executed_at: datetime
    finished_at: datetime


class Stored(NamedTuple):
    """What is known of a run once its end is written."""

    started_at: datetime
    has_webhooks: bool  # some address wants to hear of it
    is_bare: bool | None  # whether its template's results go without the workflow, as of now; None without template
    is_next_wanted: bool  # others of the workspace are held back, and it may be time to put them in line


class GenerationQuerySet(  # type: ignore[override]  # both have a manager of their own kind of rows
    HistoryQuerySet["Generation"], WorkspaceRows["Generation"]
):
    """Look-ups, and the transitions of the state machine."""

    def made_by(self, user: User) -> Self:
        """Those that this person made, in whatever workspace."""
        return self.filter(user=user)

    def in_line(self) -> Self:
        """QUEUED ones that may be claimed, each with its tag: no more of a workspace's than its plan lets run."""
        return self.filter(IN_LINE)

    def held(self) -> Self:
        """QUEUED ones that wait until fewer of the same workspace or member are in line or on the servers."""
        return self.filter(HELD)

    def in_play(self) -> Self:
        """Those in line and those that a server has: no more of a workspace's than the plan lets run at a time."""
        return self.filter(IN_PLAY)

    def upstream(self) -> Self:
        """Those that some server has in its queue or runs, as far as we know."""
        return self.filter(status__in=UPSTREAM)

    def unwanted(self) -> Self:
        """Those that their owners asked to cancel."""
        return self.filter(cancel_requested_at__isnull=False)

    def active(self) -> Self:
        """Everything that is not finished."""
        return self.filter(status__in=ACTIVE)

    def upstream_on(self, server_id: int | OuterRef) -> Self:
        """Those that this server has in its queue or runs, as far as we know."""
        return self.upstream().filter(server_id=server_id)

    def with_details(self) -> Self:
        """With everything that describing one to its owner reads: three queries, however many rows."""
        return self.select_related("version__template", "user").prefetch_related("outputs__asset")

    def labeled(self, labels: Mapping[str, str]) -> Self:
        """Those that carry all these labels. Keys begin with a letter: a number would be read as a list's index."""
        names = {f"label_{number}": key for number, key in enumerate(labels)}
        rows = self.annotate(**{name: KeyTransform(key, "metadata") for name, key in names.items()})
        return rows.filter(**{name: labels[key] for name, key in names.items()})

    def mentioning(self, words: Sequence[str]) -> Self:
        """Those with all these words in their texts (prompts and the like); see `searching.words_of`."""
        return self.filter(*(Q(text__contains=word) for word in words))

    def found_by_index(self, words: Sequence[str]) -> GenerationQuerySet:
        """`mentioning`, newest first, in a time that depends on how many there are, and not on how many are searched.

        At least one of the words must be one that `searching.is_indexed`.
        """
        rows: GenerationQuerySet = self.mentioning(words)
        if connections[self.db].vendor == "postgresql":
            # Both halves have the words: each half is found by an index of its own, the first by that of the texts.
            texts = Q(*(Q(text__contains=word) for word in words))
            rows = self.filter(Q(texts, status__in=TERMINAL) | Q(texts, status__in=ACTIVE))
        elif searching.is_there(connections[self.db]):
            # Each candidate is asked for: SQLite knows no numbers, and would rather go through all rows of a user.
            mine = Exists(rows.filter(pk=OuterRef("pk")))
            rows = Generation.objects.using(self.db).filter(mine, pk__in=searching.candidates(words))
        # In an order that no index has: else the database might read the whole history, in the hope to meet some soon.
        return rows.order_by(Greatest("created_at", "created_at").desc(), "-pk")

    def due_for_storing(self) -> Self:
        """STORING ones that no worker copies at the moment: new ones, and those whose next try is due."""
        return self.filter(status=Status.STORING, store_after__lte=timezone.now())

    def hold_back(self) -> int:
        """Take them out of line, and those on servers, too, so that none is claimed should it come back into the queue.

        Nothing else about them changes: they can still be canceled, and end.
        """
        return self.filter(IN_PLAY).update(tag=None)

    # ------------------------------------------------------------------------------------- transitions
    def claim(self, pk: uuid.UUID, *, server: ComfyServer) -> int:
        """QUEUED -> SUBMITTED, for this server. Call `claims.claim`, which knows whose turn it is."""
        return self.filter(pk=pk, status=Status.QUEUED, tag__isnull=False).update(
            status=Status.SUBMITTED, server=server, attempt=F("attempt") + 1, submitted_at=timezone.now()
        )

    def release(self, prompt_id: uuid.UUID) -> int:
        """SUBMITTED -> QUEUED: the server never got it. This does not count as an attempt. Not when it was canceled."""
        return (
            self._from(prompt_id, Status.SUBMITTED)
            .filter(cancel_requested_at=None)
            .update(status=Status.QUEUED, server=None, submitted_at=None, attempt=F("attempt") - 1)
        )

    def adopt_prompt_id(self, prompt_id: uuid.UUID, *, actual: uuid.UUID) -> int:
        """The server drew its own prompt_id instead of honouring ours (ComfyUI before 0.3.45)."""
        return self._from(prompt_id, *UPSTREAM).update(prompt_id=actual)

    def go_on(self, prompt_id: uuid.UUID, *, actual: uuid.UUID, outputs: dict[str, Any]) -> int:
        """A node goes on in another prompt that it has queued itself. `outputs`: what all before it reported."""
        return self._from(prompt_id, *UPSTREAM).update(prompt_id=actual, earlier_outputs=outputs)

    def requeue(self, prompt_id: uuid.UUID, retry: Retry) -> int:
        """SUBMITTED, RUNNING, STORING -> QUEUED, at the place in line that it had, to be run once more.

        Not when it was canceled: nobody looks at that wish in a queue, and some server would run it.

        It gets a fresh prompt_id: for a repeated one ComfyUI would answer with the old attempt's history, and
        whatever the old attempt may still report is not heard any more.
        """
        changes: dict[Retry, dict[str, Any]] = {
            Retry.LOST: {"losses": F("losses") + 1, "avoided_server": F("server")},
            Retry.WITHDRAWN: {"avoided_server": F("server")},
            Retry.OUT_OF_MEMORY: {"is_memory_retry": True},
            Retry.FILE_GONE: {"is_cache_bypassed": True},
        }
        statuses = (Status.STORING,) if retry is Retry.FILE_GONE else UPSTREAM
        rows = self._from(prompt_id, *statuses).filter(cancel_requested_at=None)
        return rows.update(
            status=Status.QUEUED,
            prompt_id=uuid.uuid4(),
            server=None,
            submitted_at=None,
            started_at=None,
            executed_at=None,
            store_after=None,
            overtaken_at=None,
            earlier_outputs=None,
            **changes[retry],
        )

    def start(self, prompt_id: uuid.UUID, *, at: datetime | None = None) -> int:
        """SUBMITTED -> RUNNING, since `at` or just now."""
        return self._from(prompt_id, Status.SUBMITTED).update(status=Status.RUNNING, started_at=at or timezone.now())

    def store_at_once(self, generation: Generation, run: Run) -> Stored | None:
        """SUBMITTED, RUNNING -> SUCCEEDED: what it made is in the storage already. Not when it was canceled.

        None: it did not change.
        """
        changed = _STORE_AT_ONCE(
            prompt_id=generation.prompt_id,
            workspace=generation.workspace_id,
            webhook=generation.webhook_id,
            template=generation.version.template_id,
            **run._asdict(),
        )
        return Stored(*changed[0]) if changed else None

    def finish_upstream(self, prompt_id: uuid.UUID, *, outputs: dict[str, Any]) -> int:
        """SUBMITTED, RUNNING -> STORING, with ComfyUI's `outputs` to copy. Not when it was canceled."""
        now = timezone.now()
        return (
            self._from(prompt_id, *UPSTREAM)
            .filter(cancel_requested_at=None)
            .update(
                status=Status.STORING,
                upstream_outputs=outputs,
                started_at=models.functions.Coalesce("started_at", now),
                executed_at=now,
                store_after=now,
            )
        )

    def claim_storing(self, pk: uuid.UUID, *, seconds: float) -> int:
        """Take the copying of a STORING generation for `seconds`; 0 when another worker is at it."""
        return (
            self.due_for_storing()
            .filter(pk=pk)
            .update(
                store_after=timezone.now() + timedelta(seconds=seconds),
                store_attempts=F("store_attempts") + 1,
            )
        )

    def storing_in_turn(self, pk: uuid.UUID, *, turn: int) -> Self:
        """The STORING generation, if this turn at copying is the current one (`store_attempts` counts them)."""
        return self.filter(pk=pk, status=Status.STORING, store_attempts=turn)

    def put_off_next_storing(self, pk: uuid.UUID, *, turn: int, seconds: float) -> int:
        """No worker takes the next turn at copying for `seconds`: this one goes on, or it failed and waits.

        0 when another worker has taken the next turn already, or the generation was canceled or deleted.
        """
        return self.storing_in_turn(pk, turn=turn).update(store_after=timezone.now() + timedelta(seconds=seconds))

    def succeed(self, pk: uuid.UUID, *, turn: int, warnings: Sequence[WarningItem] = ()) -> int:
        """STORING -> SUCCEEDED: every output is in the storage but for those that `warnings` name."""
        return self.storing_in_turn(pk, turn=turn).update(
            status=Status.SUCCEEDED,
            finished_at=timezone.now(),
            store_after=None,
            partner_key=None,
            warnings=list(warnings) or None,
        )

    def fail(self, pk: uuid.UUID, failure: Failure, *, prompt_id: uuid.UUID | None = None) -> int:
        """Any active status -> FAILED. With `prompt_id`, only while that attempt is the current one: not once it was
        released, whatever is still heard of it.
        """
        rows = self.filter(pk=pk, status__in=ACTIVE)
        if prompt_id is not None:
            rows = rows.filter(prompt_id=prompt_id).exclude(status=Status.QUEUED)
        return rows.update(
            status=Status.FAILED,
            finished_at=timezone.now(),
            partner_key=None,
            store_after=None,
            error_code=failure.code,
            error_message=failure.message[:MESSAGE_LENGTH],
            error_node_id=failure.node_id[:200],
            error_node_title=failure.node_title[:200],
            error_class_type=failure.class_type[:200],
            error_detail=failure.detail,
        )

    def request_cancel(self, pk: uuid.UUID) -> int:
        """Note the wish. Final at once when nothing upstream has to be stopped (QUEUED, STORING).

        One statement for all statuses: with one for each, a generation that goes from the second's to the first's
        between them would be met by neither.
        """
        return self.filter(pk=pk)._note_wish(timezone.now())

    def request_cancel_of_some(self, size: int) -> list[uuid.UUID]:
        """`request_cancel` of at most `size` of these, inside a transaction. Which changed."""
        now = timezone.now()
        rows = self.order_by("pk").select_for_update(of=("self",), no_key=True).values_list("pk", flat=True)
        chosen = Generation.objects.filter(pk__in=list(rows[:size]))
        chosen._note_wish(now)
        return list(chosen.filter(cancel_requested_at=now).values_list("pk", flat=True))

    def _note_wish(self, now: datetime) -> int:
        is_idle = Q(status__in=(Status.QUEUED, Status.STORING))
        ends = {"status": Status.CANCELED, "finished_at": now, "store_after": None, "partner_key": None}
        return self.filter(is_idle | Q(status__in=UPSTREAM, cancel_requested_at=None)).update(
            cancel_requested_at=now,
            **{name: Case(When(is_idle, then=models.Value(value)), default=F(name)) for name, value in ends.items()},
        )

    def cancel(self, prompt_id: uuid.UUID) -> int:
        """SUBMITTED, RUNNING -> CANCELED: it is stopped upstream, or ended there after the wish was noted."""
        now = timezone.now()
        return self._from(prompt_id, *UPSTREAM).update(
            status=Status.CANCELED,
            cancel_requested_at=models.functions.Coalesce("cancel_requested_at", now),
            finished_at=now,
            partner_key=None,
        )

    def _from(self, prompt_id: uuid.UUID | Slot, *statuses: Status) -> Self:
        return self.filter(prompt_id=prompt_id, status__in=statuses)


def _storing_at_once() -> tuple[GenerationQuerySet, dict[str, Any], Sequence[Any]]:
    rows = (
        Generation.objects.all()
        ._from(Slot("prompt_id", models.UUIDField()), *UPSTREAM)
        .filter(cancel_requested_at=None)
    )
    moment, number = models.DateTimeField(), models.BigIntegerField()
    changes = {
        "status": Status.SUCCEEDED,
        "upstream_outputs": Slot("outputs", models.JSONField()),
        "started_at": models.functions.Coalesce("started_at", Slot("started_at", moment)),
        "executed_at": Slot("executed_at", moment),
        "finished_at": Slot("finished_at", moment),
        "partner_key": None,
    }
    hooks = Webhook.objects.concerned(Slot("workspace", number), named=Slot("webhook", models.UUIDField()))
    # Asked of the template once more, because admins change it while its runs go on.
    template = WorkflowTemplate.objects.order_by().filter(pk=Slot("template", number))
    held = Generation.objects.filter(workspace=Slot("workspace", number)).held()
    is_bare = models.Subquery(template.values("is_workflow_removed"))
    return rows, changes, ("started_at", Exists(hooks), is_bare, Exists(held))


_STORE_AT_ONCE = KeptUpdate(_storing_at_once)


class Generation(InWorkspace):
    """One run of a template version for one user, in a workspace. The API calls it a job."""

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(  # the indexes of the history begin with it
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="generations", db_index=False
    )
    version = models.ForeignKey(TemplateVersion, on_delete=models.PROTECT, related_name="generations")
    inputs = models.JSONField(default=dict, help_text="Validated inputs. Seeds are strings: the ones that were used.")
    resolved = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="What texts with patterns became in this run: [node id, input, text].",
    )
    input_assets = models.ManyToManyField(
        Asset, blank=True, related_name="used_by", help_text="Files among the inputs."
    )
    text = models.TextField(blank=True, editable=False, help_text="Texts among the inputs, in lower case, to search.")
    metadata = models.JSONField(default=dict, blank=True, help_text="Labels that a program gave it.")
    partner_key = SecretTextField(
        null=True, blank=True, editable=False, help_text="For nodes that call paid services. Deleted when it ends."
    )
    webhook = models.ForeignKey(
        Webhook, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="Gets its events, too."
    )
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)

    priority = models.SmallIntegerField(default=0, help_text="Higher bands run first.")
    tag = models.FloatField(null=True, blank=True, help_text="Place in line, in virtual seconds. Empty: held.")
    cost = models.FloatField(default=10.0, help_text="How long it is expected to run, in seconds.")
    model_files = models.JSONField(
        default=list, blank=True, help_text="Model files that it needs: [node class, input, file]."
    )
    overtaken_at = models.DateTimeField(null=True, blank=True, help_text="When another one was first preferred to it.")
    avoided_server = models.ForeignKey(
        ComfyServer,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Where it ran last, and should not run next.",
    )

    server = models.ForeignKey(
        ComfyServer, null=True, blank=True, on_delete=models.SET_NULL, related_name="generations"
    )
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was handed to a server.")
    losses = models.PositiveSmallIntegerField(default=0, help_text="How often a server lost it.")
    is_memory_retry = models.BooleanField(default=False, help_text="Ran out of memory once.")
    is_cache_bypassed = models.BooleanField(default=False, help_text="Runs past ComfyUI's cache.")
    prompt_id = models.UUIDField("prompt ID", unique=True, help_text="ComfyUI's id of the current attempt.")
    upstream_outputs = models.JSONField(null=True, blank=True, help_text="What ComfyUI reported, to be copied.")
    earlier_outputs = models.JSONField(
        null=True, blank=True, help_text="What earlier parts reported, of a batch that ComfyUI goes on with."
    )
    warnings = models.JSONField(null=True, blank=True, help_text="What is missing from its result.")
    store_after = models.DateTimeField(null=True, blank=True)
    store_attempts = models.PositiveIntegerField(default=0)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    executed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    error_node_id = models.CharField("error node ID", max_length=200, blank=True)
    error_node_title = models.CharField(max_length=200, blank=True)
    error_class_type = models.CharField(max_length=200, blank=True)
    error_detail = models.JSONField(null=True, blank=True, help_text="For staff: may name the server's paths.")

    outlook: Outlook | None = None  # no column: when it starts, as far as that was found out while it got in line

    objects = GenerationQuerySet.as_manager()

    class Meta:
        permissions = [("submit_raw_workflow", "Can submit whole workflows (they run as they are)")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="generation_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL, finished_at__isnull=False)
                | (~Q(status__in=TERMINAL) & Q(finished_at__isnull=True)),
                name="generation_finished_at_iff_terminal",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.FAILED) | ~Q(error_code=""), name="generation_failed_has_a_reason"
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.QUEUED) | Q(server__isnull=True),
                name="generation_queued_has_no_server",
            ),
            models.CheckConstraint(
                condition=~Q(status=Status.STORING) | Q(store_after__isnull=False, upstream_outputs__isnull=False),
                name="generation_storing_has_outputs",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="generation_history"),
            models.Index(fields=["workspace", "-created_at", "-id"], name="generation_of_workspace"),
            models.Index(fields=["workspace", "status", "-created_at", "-id"], name="generation_by_status"),
            models.Index(fields=["-created_at", "-id"], name="generation_newest"),
            models.Index(fields=["finished_at"], name="generation_finished", condition=Q(finished_at__isnull=False)),
            models.Index(fields=["-priority", "tag", "created_at"], name="generation_line", condition=IN_LINE),
            models.Index(fields=["workspace"], name="generation_play_of_workspace", condition=IN_PLAY),
            models.Index(fields=["workspace", "created_at", "id"], name="generation_held_of_workspace", condition=HELD),
            models.Index(fields=["server"], name="generation_upstream", condition=Q(status__in=UPSTREAM)),
            models.Index(fields=["store_after"], name="generation_storing", condition=Q(status=Status.STORING)),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.status})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write it; a new one's prompt_id is its id."""
        if self.prompt_id is None:
            self.prompt_id = self.pk
        super().save(*args, **kwargs)

    def graph(self, media: Mapping[str, object]) -> Graph:
        """What it runs: the version's graph with its inputs, and with what its texts were resolved to. A copy.

        `media`: see `bind`.
        """
        graph = bind(self.version.graph, self.version.parsed_parameters, self.inputs, media=media)
        queued.put(graph, (queued.Resolved(*each) for each in self.resolved))
        return editor_notes.without_notes(graph)

    @property
    def resolved_inputs(self) -> dict[str, str]:
        """What inputs with patterns became in this run, by the parameter's name. Other texts are hidden."""
        texts = {(node_id, name): text for node_id, name, text in self.resolved}
        return {
            each.name: texts[key]
            for each in (self.version.parsed_parameters if texts else ())
            if (key := next((one.input_key for one in each.bindings if one.input_key in texts), None)) is not None
        }

    @property
    def chosen_values(self) -> tuple[Value, ...]:
        """What it demands of a server beyond its version: `model_files`, as they are compared."""
        return as_values(self.model_files)

    @property
    def needs(self) -> Needs:
        """What a server must have to run it."""
        return self.version.needs.with_values(self.chosen_values)

    @property
    def mark(self) -> dict[str, object]:
        """What its files say of where they come from."""
        return {"generation": str(self.pk), "template": self.version.slug, "version": self.version.number}

    @property
    def is_terminal(self) -> bool:
        """True when nothing about it changes any more."""
        return self.status in TERMINAL

    @property
    def is_canceling(self) -> bool:
        """True between the wish to cancel and its effect upstream."""
        return self.cancel_requested_at is not None and not self.is_terminal

    @property
    def status_label(self) -> str:
        """Its status in a word, for people."""
        return "Stopping" if self.is_canceling else self.get_status_display()

    @property
    def queue_seconds(self) -> float | None:
        """Time from its creation to its start, in seconds."""
        return (self.started_at - self.created_at).total_seconds() if self.started_at else None

    @property
    def execution_seconds(self) -> float | None:
        """Time that ComfyUI worked on it, in seconds."""
        if self.started_at is None or self.executed_at is None:
            return None
        return (self.executed_at - self.started_at).total_seconds()

    @property
    def total_seconds(self) -> float | None:
        """Time from its creation to its end, in seconds."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None
