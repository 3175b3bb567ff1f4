"""How ComfyUI's versions differ, as far as clients notice."""

from __future__ import annotations

from dataclasses import dataclass, replace

from generations.simulator import COMFYUI_VERSION


@dataclass(frozen=True, slots=True)
class Profile:
    """What one version does. The releases in which things came are those of ComfyUI's history."""

    version: str = COMFYUI_VERSION
    honours_prompt_ids: bool = True  # 0.3.45; before, the server draws its own
    has_feature_flags: bool = True  # 0.3.45: /features, the handshake, previews with metadata
    has_progress_state: bool = True  # 0.3.45
    has_targeted_interrupt: bool = True  # 0.3.57; before, whatever runs is stopped
    has_jobs: bool = False  # 0.6.0: /api/jobs
    has_job_cancel: bool = False  # 0.26.0
    adds_create_time: bool = False  # 0.3.69
    shows_secrets: bool = True  # in /queue, until 0.3.67
    progress_interval: float = 0.0  # seconds between progress messages of a node; 0.9.2
    wants_canonical_ids: bool = False  # August 2026: a prompt_id must be a lower-case UUID with hyphens
    names_missing_node_type: bool = False  # 0.13: an error type of its own
    checks_every_combo: bool = False  # those of V3 nodes, too; by 0.29
    refuses_cross_site: bool = False  # 0.19.0: Sec-Fetch-Site: cross-site is a 403


REFERENCE = Profile()
_JOBS = replace(
    REFERENCE, version="0.9.2", has_jobs=True, adds_create_time=True, shows_secrets=False, progress_interval=0.1
)
PROFILES = {
    "0.3.40": replace(
        REFERENCE,
        version="0.3.40",
        honours_prompt_ids=False,
        has_feature_flags=False,
        has_progress_state=False,
        has_targeted_interrupt=False,
    ),
    "0.3.64": REFERENCE,
    "0.9": _JOBS,
    "newest": replace(
        _JOBS,
        version="0.45.2",
        has_job_cancel=True,
        wants_canonical_ids=True,
        names_missing_node_type=True,
        checks_every_combo=True,
        refuses_cross_site=True,
    ),
}
