"""What the database keeps. Each QuerySet speaks the domain's words; transitions are conditional UPDATEs."""

from generations.models.asset import Asset, Output
from generations.models.discarded import DiscardedFile
from generations.models.draft import DraftNote, TemplateDraft
from generations.models.export import DataExport
from generations.models.generation import Generation, Status
from generations.models.idempotency import IdempotencyKey
from generations.models.queue import Departure, MemberMonth, QueueClock, QueueShare, Withdrawal
from generations.models.seeds import SeedCount
from generations.models.server import ComfyServer
from generations.models.template import TemplateVersion, WorkflowTemplate
from generations.models.usage import StorageUsage
from generations.models.webhook import Webhook, WebhookDelivery

__all__ = [
    "Asset",
    "ComfyServer",
    "DataExport",
    "Departure",
    "DiscardedFile",
    "DraftNote",
    "Generation",
    "IdempotencyKey",
    "MemberMonth",
    "Output",
    "QueueClock",
    "QueueShare",
    "SeedCount",
    "Status",
    "StorageUsage",
    "TemplateDraft",
    "TemplateVersion",
    "Webhook",
    "WebhookDelivery",
    "Withdrawal",
    "WorkflowTemplate",
]
