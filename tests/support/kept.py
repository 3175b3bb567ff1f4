"""What a process keeps of rows."""

from __future__ import annotations

from generations.models import TemplateVersion
from generations.scheduling import catalogs
from generations.scheduling.fitness import Fleet


def forget() -> None:
    """Keep nothing: it would speak of rows that are gone, whose numbers come back."""
    catalogs.noted.forget()
    TemplateVersion.objects.forget_kept()
    Fleet.forget()
