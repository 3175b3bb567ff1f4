"""The judge of `make chaos` finds each kind of damage, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.judge import WORK_SECONDS, Evidence, Row, Stored, compare
from tests.chaos.load import Load, Wish
from tests.chaos.sanctions import Sanction

MINE, OTHER = "job-1", "job-2"
TEAM, ELSEWHERE = 7, 8  # workspaces; I work in the team
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def row(job: str, *, user_id: int, seed: int, **changes: Any) -> Row:
    made = Row(
        id=job,
        user_id=user_id,
        workspace_id=TEAM if user_id == 1 else ELSEWHERE,
        status="succeeded",
        attempt=1,
        losses=0,
        inputs={"seed": str(seed), "count": 1},
        error_code="",
        error_message="",
        server_id=1,
        tag=0.0,
        store_attempts=1,
        store_after=None,
        cancel_requested_at=None,
        created_at=NOON,
        submitted_at=NOON,
        finished_at=NOON,
    )
    return replace(made, **changes)


def stored(job: str, *, user_id: int) -> Stored:
    key = f"outputs/{job}/0"
    return Stored(job, 0, user_id, key=key, thumbnail_key=f"{key}.thumb", size_bytes=3, hash=f"hash of {job}")


@pytest.fixture
def found() -> Evidence:
    """Two users, each with a result."""
    evidence = Evidence(rows={}, outputs={}, objects={}, pictures={}, originals={})
    for job, user_id, seed in ((MINE, 1, 11), (OTHER, 2, 22)):
        output = stored(job, user_id=user_id)
        evidence.rows[job] = row(job, user_id=user_id, seed=seed)
        evidence.outputs[job] = [output]
        evidence.objects[output.key] = (output.size_bytes, output.hash)
        evidence.objects[output.thumbnail_key] = (1, "a thumbnail")
        evidence.pictures[output.key] = f"pixels of {job}"
        evidence.originals[f"pixels of {job}"] = seed
    return evidence


@pytest.fixture
def load() -> Load:
    """What those two wanted, and were told."""
    mine, other = Wish(1, TEAM, seed=11, count=1), Wish(2, ELSEWHERE, seed=22, count=1)
    return Load(wishes={11: mine, 22: other}, acknowledged={MINE: mine, OTHER: other})


def counts(found: Evidence, load: Load, *sanctions: Sanction) -> dict[str, int]:
    numbers = compare(found, load, explained={"lost"}, sanctions=sanctions).numbers
    return {name: number for name, number in numbers.items() if number}


def change(found: Evidence, **changes: Any) -> None:
    found.rows[MINE] = replace(found.rows[MINE], **changes)


def change_output(found: Evidence, **changes: Any) -> None:
    found.outputs[MINE] = [replace(found.outputs[MINE][0], **changes)]


def lose_row(found: Evidence, load: Load) -> None:
    del found.rows[MINE], found.outputs[MINE]
    del found.objects[f"outputs/{MINE}/0"], found.objects[f"outputs/{MINE}/0.thumb"]


def swap_pictures(found: Evidence, load: Load) -> None:
    found.originals.update({f"pixels of {MINE}": 22, f"pixels of {OTHER}": 11})


def repeat(found: Evidence, load: Load) -> None:
    found.rows["job-3"] = row("job-3", user_id=1, seed=11, status="canceled")
    load.asked_to_cancel.add("job-3")


def leave_file(found: Evidence, load: Load) -> None:
    found.objects[f"outputs/{MINE}/1"] = (1, "left over")


def cancel_in_vain(found: Evidence, load: Load) -> None:
    load.asked_to_cancel.add(MINE)
    load.cancel_answers[MINE] = "canceling"


def share_picture(found: Evidence, load: Load) -> None:
    found.pictures[found.outputs[OTHER][0].key] = f"pixels of {MINE}"


DAMAGE: list[tuple[Callable[[Evidence, Load], object], str]] = [
    (lose_row, "lost"),
    (lambda found, _: change(found, status="storing"), "stuck"),
    (repeat, "unwanted"),
    (lambda found, _: change(found, inputs={"seed": "11", "count": 2}), "unwanted"),
    (lambda found, _: change(found, user_id=2), "unwanted"),
    (lambda found, _: change(found, workspace_id=ELSEWHERE), "unwanted"),
    (
        lambda found, _: change(found, status="failed", error_code="internal_error", error_message="?"),
        "unexplained_failures",
    ),
    (lambda found, _: change(found, status="failed", error_code="lost", error_message=""), "unexplained_failures"),
    (lambda found, _: change(found, status="canceled"), "wrong_cancellations"),
    (cancel_in_vain, "wrong_cancellations"),
    (lambda found, _: found.outputs.update({MINE: []}), "wrong_results"),
    (lambda found, _: found.outputs.update({MINE: found.outputs[MINE] * 2}), "duplicates"),
    (lambda found, _: change_output(found, user_id=2), "wrong_results"),
    (lambda found, _: change_output(found, size_bytes=4), "wrong_results"),
    (lambda found, _: found.objects.pop(f"outputs/{MINE}/0"), "wrong_results"),
    (lambda found, _: found.objects.pop(f"outputs/{MINE}/0.thumb"), "wrong_results"),
    (lambda found, _: found.originals.pop(f"pixels of {MINE}"), "wrong_results"),
    (swap_pictures, "wrong_results"),
    (share_picture, "duplicates"),
    (leave_file, "orphans_of_results"),
]


def test_all_is_well(found: Evidence, load: Load) -> None:
    assert counts(found, load) == {}


@pytest.mark.parametrize(("damage", "kind"), DAMAGE)
def test_damage_is_found(found: Evidence, load: Load, damage: Callable[[Evidence, Load], object], kind: str) -> None:
    damage(found, load)
    assert kind in counts(found, load)


def test_an_answer_that_got_lost_explains_a_second_generation(found: Evidence, load: Load) -> None:
    repeat(found, load)
    load.in_doubt[11] += 1
    assert counts(found, load) == {}


def test_a_cancellation_that_came_too_late_changes_nothing(found: Evidence, load: Load) -> None:
    load.asked_to_cancel.add(MINE)
    load.cancel_answers[MINE] = "succeeded"
    assert counts(found, load) == {}


def test_files_of_a_canceled_one_may_be_left_over(found: Evidence, load: Load) -> None:
    change(found, status="canceled")
    load.asked_to_cancel.add(MINE)
    leave_file(found, load)
    assert counts(found, load) == {}


def test_a_failure_that_something_explains_is_fine(found: Evidence, load: Load) -> None:
    change(found, status="failed", error_code="lost", error_message="It was lost.")
    assert counts(found, load) == {}


# ---------------------------------------------------------------------------------------------- suspended, removed
def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def suspended(**changes: Any) -> Sanction:
    """I am, from five to ten seconds after noon until a minute later; what I had begun may be canceled."""
    made = Sanction(1, None, asked_at=after(5), in_force_at=after(10), lifted_at=after(70))
    return replace(made, **changes)


def removed(**changes: Any) -> Sanction:
    """I am from the team, at the same time and for good."""
    return suspended(workspace_id=TEAM, lifted_at=None, **changes)


OUT = pytest.mark.parametrize("out", [suspended, removed])


@OUT
def test_all_is_well_when_what_was_under_way_ends_soon(
    found: Evidence, load: Load, out: Callable[..., Sanction]
) -> None:
    for status in ("canceled", "succeeded"):
        change(found, status=status, finished_at=after(10 + WORK_SECONDS))
        assert counts(found, load, out()) == {}


@OUT
def test_what_had_ended_before_does_not_matter(found: Evidence, load: Load, out: Callable[..., Sanction]) -> None:
    assert counts(found, load, out(finished={MINE})) == {}


RUNS_ON: list[tuple[dict[str, Any], str]] = [
    ({"status": "canceled", "finished_at": after(11 + WORK_SECONDS)}, "ran_on"),
    ({"finished_at": after(11 + WORK_SECONDS)}, "ran_on"),
    ({"status": "running", "finished_at": None}, "ran_on"),
    ({"status": "queued", "submitted_at": None, "finished_at": None}, "ran_on"),
    ({"submitted_at": after(11), "finished_at": after(12)}, "ran_on"),
    ({"status": "canceled", "submitted_at": after(11), "finished_at": after(12)}, "ran_on"),
    ({"created_at": after(20), "submitted_at": after(21), "finished_at": after(22)}, "accepted_all_the_same"),
    ({"created_at": after(20), "submitted_at": None, "finished_at": after(22)}, "accepted_all_the_same"),
]


@OUT
@pytest.mark.parametrize(("changes", "kind"), RUNS_ON)
def test_what_runs_on_is_found(
    found: Evidence, load: Load, out: Callable[..., Sanction], changes: dict[str, Any], kind: str
) -> None:
    change(found, **changes)
    assert kind in counts(found, load, out())


@pytest.mark.parametrize("sanction", [suspended(user_id=2), removed(user_id=2), suspended(workspace_id=ELSEWHERE)])
@pytest.mark.parametrize(("changes", "kind"), RUNS_ON)
def test_others_and_their_own_work_go_on(
    found: Evidence, load: Load, sanction: Sanction, changes: dict[str, Any], kind: str
) -> None:
    change(found, **changes)
    assert kind not in counts(found, load, sanction)


@pytest.mark.parametrize("sanction", [suspended(user_id=2), suspended(workspace_id=ELSEWHERE)])
def test_nothing_else_is_canceled_with_it(found: Evidence, load: Load, sanction: Sanction) -> None:
    change(found, status="canceled", finished_at=after(20))
    assert counts(found, load, sanction) == {"wrong_cancellations": 1}


def test_what_was_begun_after_it_is_not_canceled_with_it(found: Evidence, load: Load) -> None:
    change(found, created_at=after(71), status="canceled", finished_at=after(75))
    assert counts(found, load, suspended()) == {"wrong_cancellations": 1}


def test_whoever_is_back_works_again(found: Evidence, load: Load) -> None:
    change(found, created_at=after(71), submitted_at=after(72), finished_at=after(200))
    assert counts(found, load, suspended()) == {}


@OUT
def test_what_was_finished_stays(found: Evidence, load: Load, out: Callable[..., Sanction]) -> None:
    change(found, status="canceled", finished_at=after(20))
    assert counts(found, load, out(finished={MINE})) == {"taken_from_teams": 1}
    lose_row(found, load)
    assert "taken_from_teams" in counts(found, load, out(finished={MINE}))


@OUT
def test_a_door_that_stays_open_is_found(found: Evidence, load: Load, out: Callable[..., Sanction]) -> None:
    assert counts(found, load, out(open_doors=["a socket"])) == {"open_doors": 1}
