"""The parts of the studio's page that look different after a change of the draft."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from generations.admin.cards import ParameterCard, parameter_cards
from generations.comfy.differences import Difference
from generations.comfy.object_info import ObjectInfo
from generations.models import TemplateDraft, WorkflowTemplate
from generations.scheduling import fitness
from generations.studio import checks, intake


def changing_parts(template: WorkflowTemplate, draft: TemplateDraft, object_info: ObjectInfo | None) -> dict[str, Any]:
    """The context of their templates."""
    found = checks.faults(draft, object_info)
    fleet = fitness.Fleet.now()
    reports = checks.fitness_of(draft, fleet) if draft.graph else []
    differences = fleet.differences(draft.graph)
    newest = template.versions.first()
    resolved = checks.resolved_inputs(draft, newest, object_info)
    cards = list(parameter_cards(draft, found, differences, resolved))
    return {
        "template": template,
        "draft": draft,
        "flags": [(flag, flag["node_id"] in draft.graph) for flag in draft.flags],
        "cards": cards,
        "exposed": _exposed(cards),
        "fault_count": sum(len(each) for name, each in found.items() if name),
        "general_faults": [fault.message for fault in found.get("", ())],
        "reports": reports,
        "differences": differences,
        "risks": _new_risks(draft, differences, object_info),
        "is_unfit": not any(each.is_fit for each in reports),
        "is_unfit_as_it_is": not any(each.is_fit and not each.missing_defaults for each in reports),
        "published": template.published_version,
        "has_versions": newest is not None,
        "is_changed": not draft.is_like(template.published_version),
    }


def _exposed(cards: Sequence[ParameterCard]) -> list[dict[str, str]]:
    """The inputs that users set, for the page's script."""
    return [
        {"node_id": node_id, "input_name": input_name, "label": card.definition.get("label", "")}
        for card in cards
        for node_id, input_name, _words in card.inputs
    ]


def _new_risks(draft: TemplateDraft, differences: Sequence[Difference], object_info: ObjectInfo | None) -> list[str]:
    """Those that came up after the import; the others are flags."""
    flagged = {flag["text"] for flag in draft.flags}
    risks = [each.note for each in differences if each.is_risk]
    return [each for each in [*risks, *intake.cost_notes(draft.graph, object_info)] if each not in flagged]
