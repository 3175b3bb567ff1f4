"""Tests mirror the rooms: who changes a module finds its tests by its name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PACKAGES = ("accounts", "comfysaas", "generations")
# Rooms whose tests do not lie in tests/generations.
ROOMS_BESIDE = {"api", "comfy", "simulator"}
TEST_FILE = re.compile(r"tests/[\w/]+\.py")

# Modules without a test file of their name, and where they are tested. The list only shrinks.
ELSEWHERE = {
    "accounts/access.py": "tests/api/test_auth.py asks with keys and sessions; tests/api/test_streams.py and "
    "tests/generations/live/test_consumers.py hold what is open",
    "accounts/adapter.py": "tests/accounts/test_sign_in.py",
    "accounts/apps.py": "declares the app",
    "accounts/claims.py": "tests/accounts/test_change_of_address.py",
    "accounts/context.py": "tests/accounts/test_ways_on.py",
    "accounts/forms.py": "tests/accounts/test_admin.py and tests/accounts/test_sign_in.py",
    "accounts/tasks.py": "tests/accounts/test_workspaces.py",
    "accounts/management/commands/remove_second_factors.py": "tests/accounts/test_second_factor.py",
    "accounts/urls.py": "declares addresses",
    "accounts/views.py": "tests/api/test_account.py has the pages about keys",
    "accounts/workspace_forms.py": "tests/accounts/test_workspace_pages.py and tests/accounts/test_invitation_pages.py",
    "comfysaas/asgi.py": "tests/comfysaas/test_http_server.py and tests/generations/live/test_consumers.py",
    "comfysaas/commandline.py": "tests/processes/test_commands.py",
    "comfysaas/management/commands/configuration.py": "`make check` compares what it writes",
    "comfysaas/management/commands/create_bucket.py": "tests/processes/test_commands.py",
    "comfysaas/management/commands/migrate.py": "tests/processes/test_commands.py",
    "comfysaas/settings.py": "tests/comfysaas/test_env.py, tests/comfysaas/test_redis.py and every other test",
    "comfysaas/urls.py": "declares addresses",
    "generations/admin/forms.py": "tests/generations/admin/test_templates.py and "
    "tests/generations/admin/test_servers.py",
    "generations/api/operations.py": "tests/api/test_access.py and tests/api/test_openapi.py ask every operation",
    "generations/api/webhooks.py": "tests/generations/webhooks/test_outbox.py",
    "generations/apps.py": "tests/accounts/test_sign_in.py: what a new password shuts",
    "generations/comfy/decoder_process.py": "tests/comfy/test_decoders.py starts it",
    "generations/comfy/named_files.py": "tests/generations/files/test_naming.py",
    "generations/comfy/state.py": "tests/comfy/test_client.py reads what servers answer",
    "generations/contract.py": "tests/api/test_jobs.py and tests/api/test_lists.py compare whole answers",
    "generations/files/inputs.py": "tests/api/test_lists.py: every way in which a picture comes",
    "generations/lifecycle/copying.py": "tests/generations/lifecycle/test_storing.py",
    "generations/lifecycle/raw.py": "tests/api/test_raw.py",
    "generations/live/events.py": "declares what events look like",
    "generations/live/routing.py": "declares addresses",
    "generations/management/commands/relay.py": "tests/processes/test_cluster.py",
    "generations/parameters/primitives.py": "tests/generations/parameters/test_propose_named.py",
    "generations/parameters/texts.py": "tests/generations/parameters/test_propose.py",
    "generations/parameters/values.py": "tests/generations/parameters/test_validate.py",
    "generations/relay/apply.py": "tests/generations/lifecycle/test_state_machine.py calls it in any order",
    "generations/relay/collecting.py": "tests/generations/relay/test_outputs.py and "
    "tests/generations/relay/test_batches.py",
    "generations/relay/submit.py": "tests/generations/relay/test_agent.py and tests/generations/files/test_naming.py",
    "generations/relay/supervisor.py": "tests/generations/relay/test_agent.py",
    "generations/simulator/__main__.py": "tests/simulator/test_command.py",
    "generations/simulator/announcer.py": "tests/simulator/test_sockets.py and tests/simulator/test_recordings.py",
    "generations/simulator/installation.py": "tests/simulator/test_command.py and "
    "tests/generations/scheduling/test_fleet.py",
    "generations/simulator/object_info.py": "tests/simulator/test_nodes.py compares it with ComfyUI's",
    "generations/simulator/server.py": "tests/simulator/test_routes.py and every other test of the simulator",
    "generations/simulator/signatures.py": "tests/simulator/test_execution.py: what the cache takes for the same",
    "generations/tasks.py": "tests/generations/lifecycle/test_storing.py and tests/generations/files/test_assets.py",
    "generations/templatetags/summaries.py": "tests/generations/web/test_gallery.py",
    "generations/urls.py": "declares addresses",
    "generations/web/runs.py": "tests/generations/web/test_pages.py and tests/generations/admin/test_trying.py",
}


def modules() -> list[str]:
    """Our modules, by path: without migrations, and without the files that make folders packages."""
    found = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return sorted(str(path) for path in found if path.name != "__init__.py" and "migrations" not in path.parts)


def places(module: str) -> set[Path]:
    """Where the test file of its name may be.

    In the folder of its room. A folder inside a room, such as `simulator/nodes`, may have one file for all of its
    modules. Commands are tested wherever what they do is tested.
    """
    *folders, name = Path(module).with_suffix("").parts
    if "commands" in folders:
        return {path.relative_to(ROOT) for path in (ROOT / "tests").rglob(f"test_{name}.py")}
    if folders[:1] == ["generations"] and folders[1:2] and folders[1] in ROOMS_BESIDE:
        folders = folders[1:]
    inside = folders[2:] if folders[0] == "generations" else folders[1:]
    found = {Path("tests", *folders, f"test_{name}.py")}
    if inside:
        found.add(Path("tests", *folders[:-1], f"test_{folders[-1]}.py"))
    return found


def is_tested_by_name(module: str) -> bool:
    return any((ROOT / place).is_file() for place in places(module))


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("accounts/rates.py", "tests/accounts/test_rates.py"),
        ("generations/origins.py", "tests/generations/test_origins.py"),
        ("generations/relay/stopping.py", "tests/generations/relay/test_stopping.py"),
        ("generations/comfy/graph.py", "tests/comfy/test_graph.py"),
        ("generations/simulator/nodes/images.py", "tests/simulator/test_nodes.py"),
        ("generations/management/commands/starters.py", "tests/generations/studio/test_starters.py"),
    ],
)
def test_the_file_of_a_module_is_looked_for_where_contributing_says(module: str, expected: str) -> None:
    assert module in modules()
    assert Path(expected) in places(module)
    assert is_tested_by_name(module)


def test_every_module_has_a_test_file_of_its_name_or_says_where_it_is_tested() -> None:
    nowhere = [module for module in modules() if not is_tested_by_name(module) and module not in ELSEWHERE]
    assert nowhere == [], "Name a test file like the module (see CONTRIBUTING.md)"


def test_whatever_has_a_test_file_of_its_name_by_now_leaves_the_list() -> None:
    known = modules()
    assert [each for each in ELSEWHERE if each not in known] == [], "these modules are gone"
    assert [each for each in ELSEWHERE if is_tested_by_name(each)] == [], "take these out of the list"


def test_the_list_names_tests_that_there_are() -> None:
    named = {path for reason in ELSEWHERE.values() for path in TEST_FILE.findall(reason)}
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
