"""Workflow templates: a hidden graph with a few exposed parameters, in immutable versions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group
from django.core.validators import MinValueValidator
from django.db import connection, models, transaction
from django.db.models.functions import Cast
from django.utils import timezone

from accounts.models import Workspace
from accounts.statements import Kept, KeptUpdate, Slot
from generations.comfy.catalog import Needs, as_values, graph_needs
from generations.comfy.graph import Graph
from generations.parameters.schema import Parameter, bound_inputs, parse_parameters

if TYPE_CHECKING:
    from accounts.models import User


RAW_TITLE = "Own workflow"
STUDIO_PERMISSION = "generations.change_workflowtemplate"
TIME_LIMIT_SECONDS = 3600
MEAN_SECONDS = 10.0
PARSED_AT_MOST = 1000  # definitions of versions that a process keeps typed
KEPT_AT_MOST = 64  # whole versions that a process keeps: graphs may be large


class Visibility(models.TextChoices):
    """Who may see and run a published template."""

    EVERYONE = "everyone", "Everyone who is signed in"
    GROUPS = "groups", "Members of the chosen groups"
    WORKSPACES = "workspaces", "Members of the chosen workspaces, while they work there"
    STAFF = "staff", "Staff only"


_SLUG = Slot("slug", models.CharField())
_OF_STAFF = Kept(lambda: WorkflowTemplate.objects.published().filter(slug=_SLUG).order_by())
_OF_USERS = Kept(
    lambda: (
        WorkflowTemplate.objects.all()
        ._open_to(Slot("user", models.BigIntegerField()), Slot("workspace", models.BigIntegerField()))
        .filter(slug=_SLUG)
    )
)
_NOTE_RUN = KeptUpdate(
    lambda: (
        WorkflowTemplate.objects.filter(pk=Slot("pk", models.BigIntegerField())),
        {"mean_seconds": models.F("mean_seconds") * 0.75 + Slot("seconds", models.FloatField())},
        ("id",),
    )
)
_MAKING = 0x636F6D66  # any number: of the lock that whoever makes a template takes


class WorkflowTemplateQuerySet(models.QuerySet["WorkflowTemplate"]):
    """The domain's ways to find templates."""

    def published(self) -> Self:
        """Templates that have a version to run."""
        return self.filter(published_version__isnull=False)

    def visible_to(self, user: User | AnonymousUser, workspace: Workspace) -> Self:
        """Published templates that this user may run in this workspace, of which they are a member (see
        `accounts.current`): a template outside this set is a 404. Staff see all.
        """
        if not user.is_authenticated:
            return self.none()
        return self.published() if user.is_staff else self._open_to(user, workspace.pk)

    def visible_somewhere_to(self, user: User | AnonymousUser) -> Self:
        """Those that are `visible_to` the user in one of their workspaces, whichever they work in at the moment."""
        if not user.is_authenticated:
            return self.none()
        mine = Workspace.objects.for_member(user).open().values("pk")
        return self.published() if user.is_staff else self._open_to(user, mine)

    def _open_to(self, user: User | Slot, workspace: int | Slot | models.QuerySet[Any, Any]) -> Self:
        groups, workspaces = WorkflowTemplate.groups.through, WorkflowTemplate.workspaces.through
        of_groups = groups.objects.filter(workflowtemplate=models.OuterRef("pk"), group__user=user)
        named = {"workspace__in": workspace} if isinstance(workspace, models.QuerySet) else {"workspace": workspace}
        of_workspaces = workspaces.objects.filter(workflowtemplate=models.OuterRef("pk"), **named)
        return self.published().filter(
            models.Q(visibility=Visibility.EVERYONE)
            | models.Q(models.Exists(of_groups), visibility=Visibility.GROUPS)
            | models.Q(models.Exists(of_workspaces), visibility=Visibility.WORKSPACES)
        )

    def for_nobody(self) -> Self:
        """Those for groups or workspaces in which there is nobody (any more)."""
        groups, workspaces = WorkflowTemplate.groups.through, WorkflowTemplate.workspaces.through
        of_groups = groups.objects.filter(workflowtemplate=models.OuterRef("pk"), group__user__is_active=True)
        of_workspaces = workspaces.objects.filter(
            workflowtemplate=models.OuterRef("pk"),
            workspace__dissolve_after=None,
            workspace__memberships__user__is_active=True,
        )
        return self.filter(
            models.Q(~models.Exists(of_groups), visibility=Visibility.GROUPS)
            | models.Q(~models.Exists(of_workspaces), visibility=Visibility.WORKSPACES)
        )

    def runnable(self, user: User, workspace: Workspace, slug: str) -> WorkflowTemplate | None:
        """The one of this name among those `visible_to` the user in this workspace."""
        if user.is_staff:
            return _OF_STAFF.first(slug=slug)
        return _OF_USERS.first(user=user.pk, workspace=workspace.pk, slug=slug)

    def made_from(self, content_hash: str) -> WorkflowTemplate | None:
        """The first one that was made from the file with these bytes (`spooling.hash_of`) and still has a workflow.
        One whose only draft was discarded has none.
        """
        if not content_hash:
            return None
        has_workflow = models.Q(draft__isnull=False) | models.Q(versions__isnull=False)
        return self.filter(has_workflow, imported_hash=content_hash).order_by("pk").first()

    def lock_making(self) -> None:
        """Wait until nobody else makes a template, for the rest of the transaction: names and files are looked up
        before, and two at once would both find nothing. On SQLite, a transaction that writes is alone already.
        """
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])

    def for_lists(self) -> Self:
        """With what tiles and summaries need, and without the graphs, which may be large."""
        return self.select_related("published_version").defer("published_version__graph")

    def search(self, text: str) -> Self:
        """Those with all these words in their title, description, category or tags."""
        rows = self
        for word in text.replace("\x00", " ").split()[:10]:  # PostgreSQL cannot compare with a NUL
            # Tags are a JSON list; as text it contains the word where a tag does.
            tagged = models.Q(tags_text__icontains=word)
            named = models.Q(title__icontains=word) | models.Q(description__icontains=word)
            rows = rows.annotate(tags_text=Cast("tags", models.TextField())).filter(
                named | models.Q(category__icontains=word) | tagged
            )
        return rows

    def note_run(self, template_id: int, *, seconds: float) -> int:
        """ComfyUI worked on it for so long: the estimate for the next run moves a quarter of the way."""
        return len(_NOTE_RUN(pk=template_id, seconds=seconds * 0.25))


class WorkflowTemplate(models.Model):
    """What users pick in the gallery."""

    slug = models.SlugField(max_length=80, unique=True, help_text="Part of the address, and its name in the API.")
    title = models.CharField(max_length=120)
    description = models.TextField(blank=True, help_text="What it does and how to use it. Markdown.")
    cover = models.ImageField(upload_to="covers/", blank=True, help_text="Picture in the gallery.")
    category = models.CharField(max_length=60, blank=True, help_text="Heading in the gallery, such as Portraits.")
    tags = models.JSONField(default=list, blank=True, help_text='A list of words, such as ["portrait", "fast"].')
    visibility = models.CharField(
        "who sees it",
        max_length=16,
        choices=Visibility,
        default=Visibility.EVERYONE,
        help_text="Staff always see it, too.",
    )
    # Each list is empty unless the visibility is of its kind.
    groups = models.ManyToManyField(Group, blank=True, help_text="Their members see it.")
    workspaces = models.ManyToManyField(
        Workspace,
        blank=True,
        related_name="+",
        help_text="Their members see it while they work in one of them.",
    )
    position = models.IntegerField(default=0, help_text="Lower comes first in the gallery.")
    credits_cost = models.PositiveIntegerField("cost in credits", default=1, help_text="Credits that one run costs.")
    time_limit_seconds = models.PositiveIntegerField(
        "time limit (seconds)",
        default=TIME_LIMIT_SECONDS,
        validators=[MinValueValidator(1)],
        help_text="A run that ComfyUI works on for longer is stopped and counts as failed.",
    )
    is_workflow_removed = models.BooleanField(
        "remove the workflow from results",
        default=True,
        db_default=True,
        help_text="ComfyUI writes the whole workflow into the files that it makes. Users get them without it.",
    )
    mean_seconds = models.FloatField(
        default=MEAN_SECONDS,
        editable=False,
        help_text="How long ComfyUI works on it, measured; the latest runs count most.",
    )
    published_version = models.ForeignKey(
        "TemplateVersion",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The version that users run. Empty: not published.",
    )
    imported_hash = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        db_index=True,
        editable=False,
        help_text="Hash of the file that it was made from, by which the same file is recognized.",
    )
    model_sources = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        blank=True,
        editable=False,
        help_text="What the imported file says of its model files: {name: {url, directory}}.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = WorkflowTemplateQuerySet.as_manager()

    class Meta:
        ordering = ["position", "title"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(visibility__in=Visibility.values), name="template_visibility_known"
            )
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def has_nobody(self) -> bool:
        """True when it is for groups or workspaces in which there is nobody (any more), so that only staff see it."""
        return WorkflowTemplate.objects.for_nobody().filter(pk=self.pk).exists()

    def open_to(
        self, visibility: Visibility, *, groups: Iterable[Group] = (), workspaces: Iterable[Workspace] = ()
    ) -> None:
        """Say who sees it, all at once. Lists of another kind than `visibility` are emptied.

        ValueError for a kind with a list and nothing in it: nobody would see the template.
        """
        chosen: dict[Visibility, list[Any]] = {
            Visibility.GROUPS: list(groups),
            Visibility.WORKSPACES: list(workspaces),
        }
        if chosen.get(visibility) == []:
            msg = f"Choose at least one of the {visibility.value}: nobody would see it."
            raise ValueError(msg)
        with transaction.atomic():
            self.visibility = visibility
            self.save(update_fields=["visibility", "updated_at"])
            self.groups.set(chosen[Visibility.GROUPS] if visibility == Visibility.GROUPS else [])
            self.workspaces.set(chosen[Visibility.WORKSPACES] if visibility == Visibility.WORKSPACES else [])

    def add_version(
        self,
        *,
        graph: Graph,
        parameters: list[dict[str, Any]],
        output_nodes: Sequence[str] = (),
        safety_node: str = "",
        editor: dict[str, Any] | None = None,
        resolved_inputs: Sequence[Sequence[str]] = (),
        created_by: User | None = None,
        note: str = "",
    ) -> TemplateVersion:
        """The next version of this template, not published.

        `output_nodes`: ids of the nodes whose results are kept; empty for all. `safety_node`: the one whose result
        tells whether the others are safe, if there is one. `resolved_inputs`: see
        `queued.inputs_to_resolve`. The caller has checked graph and parameters. Numbers have no gaps: the template's
        row is locked meanwhile.
        """
        with transaction.atomic():
            locked = WorkflowTemplate.objects.select_for_update().get(pk=self.pk)
            last = locked.versions.aggregate(last=models.Max("number"))["last"] or 0
            return TemplateVersion.objects.create(
                template=locked,
                number=last + 1,
                graph=graph,
                parameters=parameters,
                output_nodes=list(output_nodes),
                safety_node=safety_node,
                editor=editor,
                resolved_inputs=[list(each) for each in resolved_inputs],
                **_required(graph_needs(graph, leaving_out=bound_inputs(parameters))),
                created_by=created_by,
                note=note,
            )

    def set_published(self, version: TemplateVersion | None) -> None:
        """Record that users run `version`; None takes the template out of the gallery.

        It checks and asks nothing: to publish, call `studio.publishing.publish`. ValueError for a version of another
        template.
        """
        if version is not None and version.template_id != self.pk:
            msg = f"Version {version.pk} belongs to another template"
            raise ValueError(msg)
        with transaction.atomic():
            if version is not None:
                version.published_at = timezone.now()
                TemplateVersion.objects.filter(pk=version.pk).update(published_at=version.published_at)
            self.published_version = version
            self.save(update_fields=["published_version", "updated_at"])


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def latest_published(self) -> TemplateVersion | None:
        """The one that users run, or ran last; None when none was ever published."""
        return self.filter(published_at__isnull=False).order_by("-published_at", "-number").first()

    @staticmethod
    def kept(pk: int) -> TemplateVersion:
        """The version with this id, from the memory of this process, because versions never change. A copy, which may
        be given its template. DoesNotExist.
        """
        return copy(_kept(pk))

    @staticmethod
    def forget_kept() -> None:
        """Read them anew: for tests, whose rows come back under the numbers of others."""
        _kept.cache_clear()

    def unused_raw(self) -> Self:
        """Raw ones whose generations were all deleted."""
        return self.filter(template=None, generations=None)


class TemplateVersion(models.Model):
    """One graph with its parameters. Never changed once written: a generation's history depends on it.

    Without a template it is raw: a whole graph that somebody who may do so submitted. Nothing of it is a parameter.
    """

    template = models.ForeignKey(
        WorkflowTemplate,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="versions",
        help_text="Empty: a workflow that a program sent as a whole, for one job.",
    )
    number = models.PositiveIntegerField(default=1)
    graph = models.JSONField(help_text="The workflow in ComfyUI's API format.")
    parameters = models.JSONField(default=list, help_text="The exposed parameters and what they are bound to.")
    output_nodes = models.JSONField(
        default=list, blank=True, help_text="Nodes whose results are kept. Empty: every node's."
    )
    safety_node = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="The node whose result tells whether the others are safe. Empty: none.",
    )
    editor = models.JSONField(
        null=True, blank=True, help_text="What ComfyUI's editor keeps of the nodes, for those that look it up."
    )
    required_node_classes = models.JSONField(default=list)
    required_choices = models.JSONField(
        default=list,
        blank=True,
        help_text="Fixed texts: [node class, input, text]; where that is a choice, servers need it.",
    )
    required_inputs = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Per kind of node: [class, {input: fixed number, or null}, classes at the ends of what it feeds].",
    )
    resolved_inputs = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Texts resolved for each run: [node id, input, prompt (alternatives) or name (dates and values)].",
    )
    note = models.CharField(max_length=200, blank=True, help_text="What changed.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    published_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When it was last published. Empty: it was only tried."
    )

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="version_number_unique")]

    def __str__(self) -> str:
        return f"{self.template} v{self.number}" if self.template else RAW_TITLE

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write a new version; TypeError for one that exists already."""
        if not self._state.adding:
            msg = "A template version is immutable: add a new one"
            raise TypeError(msg)
        super().save(*args, **kwargs)

    @classmethod
    def raw(cls, *, graph: Graph, created_by: User, editor: dict[str, Any] | None = None) -> TemplateVersion:
        """A graph that belongs to no template, not saved yet. The caller has checked it."""
        return cls(graph=graph, created_by=created_by, editor=editor, **_required(graph_needs(graph)))

    def may_be_run_by(self, user: User, workspace: Workspace) -> bool:
        """Whether this user may run it now in this workspace: whatever runs a template asks this.

        Users run what was published once, while its template is published and visible to them; so a rerun of an older
        version works for as long as there is a current one. Whoever makes templates also tries those versions that
        nobody else has seen yet.
        """
        if user.is_staff and user.has_perm(STUDIO_PERMISSION):
            return True
        visible = WorkflowTemplate.objects.visible_to(user, workspace).filter(
            versions__pk=self.pk, versions__published_at__isnull=False
        )
        return visible.exists()

    @property
    def needs(self) -> Needs:
        """What a server must have to run it, without what users choose. The graph is not read for it."""
        return Needs(self.required_node_classes, as_values(self.required_choices), self.required_inputs)

    @property
    def title(self) -> str:
        """The template's, for people."""
        return self.template.title if self.template else RAW_TITLE

    @property
    def slug(self) -> str | None:
        """The template's name in the API; None for a raw one."""
        return self.template.slug if self.template else None

    @property
    def time_limit_seconds(self) -> int:
        """A run that takes longer is stopped."""
        return self.template.time_limit_seconds if self.template else TIME_LIMIT_SECONDS

    @property
    def is_workflow_removed(self) -> bool:
        """Whether users get results without the workflow; a raw one is their own."""
        return self.template is not None and self.template.is_workflow_removed

    @property
    def mean_seconds(self) -> float:
        """How long a run takes, as far as anybody knows."""
        return self.template.mean_seconds if self.template else MEAN_SECONDS

    @cached_property
    def parsed_parameters(self) -> tuple[Parameter, ...]:
        """The parameters, typed. Parsed once in a process for all versions that define the same."""
        return _parsed(json.dumps(self.parameters))


@lru_cache(maxsize=KEPT_AT_MOST)
def _kept(pk: int) -> TemplateVersion:
    # The one column that changes is asked for where it is read, which is hardly ever.
    found = TemplateVersion.objects.defer("published_at").get(pk=pk)
    found.parsed_parameters  # noqa: B018  (worked out once for all copies)
    return found


@lru_cache(maxsize=PARSED_AT_MOST)
def _parsed(definitions: str) -> tuple[Parameter, ...]:
    return parse_parameters(json.loads(definitions))


def _required(needs: Needs) -> dict[str, Any]:
    """The columns of a version that keep them."""
    return {
        "required_node_classes": needs.classes,
        "required_choices": needs.values,
        "required_inputs": needs.nodes,
    }
