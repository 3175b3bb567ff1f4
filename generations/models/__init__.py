"""What the database keeps. Each QuerySet speaks the domain's words; transitions are conditional UPDATEs."""

from generations.models.asset import Asset, Output
from generations.models.generation import Generation, Status
from generations.models.queue import QueueClock, QueueShare
from generations.models.server import ComfyServer
from generations.models.template import TemplateDraft, TemplateVersion, WorkflowTemplate

__all__ = [
    "Asset",
    "ComfyServer",
    "Generation",
    "Output",
    "QueueClock",
    "QueueShare",
    "Status",
    "TemplateDraft",
    "TemplateVersion",
    "WorkflowTemplate",
]
