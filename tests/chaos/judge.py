"""Was anything lost, stuck, duplicated, mixed up or failed without a reason? Looks past the product itself."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import httpx
from blake3 import blake3
from PIL import Image
from psycopg.rows import class_row

from tests.chaos.load import Account, Load
from tests.chaos.sanctions import Sanction
from tests.chaos.world import World
from tests.support import s3
from tests.support.waiting import eventually

UNFINISHED = ("queued", "submitted", "running", "storing")
SHOWN_TO_STRANGERS = 10  # jobs that somebody else asks for
# After that, nothing of somebody who was suspended or removed waits or runs any more, whatever broke in between.
WORK_SECONDS = 60.0
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """A generation as the database has it."""

    id: str
    user_id: int
    workspace_id: int
    status: str
    attempt: int
    losses: int
    inputs: dict[str, Any]
    error_code: str
    error_message: str
    server_id: int | None
    tag: float | None
    store_attempts: int
    store_after: datetime | None
    cancel_requested_at: datetime | None
    created_at: datetime
    submitted_at: datetime | None
    finished_at: datetime | None

    @property
    def seed(self) -> int:
        """What its picture must be made with."""
        return int(self.inputs["seed"])

    @property
    def end(self) -> datetime:
        """When it ended; NEVER for one that did not."""
        return self.finished_at or NEVER

    @property
    def seconds(self) -> float:
        """From its creation to its end; 0 for one that has none."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """An output with its file."""

    generation_id: str
    position: int
    user_id: int
    key: str
    thumbnail_key: str
    size_bytes: int
    hash: str


@dataclass(slots=True)
class Verdict:
    """`problems` is empty when all is well."""

    problems: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def note(self, name: str, problems: list[str]) -> None:
        """Problems of one kind, and their number under this name."""
        self.problems += problems
        self.numbers[name] = len(problems)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was left behind."""

    rows: dict[str, Row]
    outputs: dict[str, list[Stored]]  # by generation
    objects: dict[str, tuple[int, str]]  # what the storage has under outputs/: key -> (bytes, hash)
    pictures: dict[str, str]  # of these, what their pixels are: key -> hash
    originals: dict[str, int]  # what the servers ever made: hash of the pixels -> the seed in the picture's own graph


def unfinished(world: World) -> int:
    """How many generations are not at their end yet."""
    ((number,),) = world.rows("SELECT count(*) FROM generations_generation WHERE status = ANY(%s)", list(UNFINISHED))
    return int(number)


def judge(world: World, load: Load, accounts: list[Account], *, explained: set[str]) -> Verdict:
    """Everything that can be checked once nothing goes on any more."""
    found = _gather(world)
    sanctions = [each.sanction for each in world.witnesses]
    verdict = compare(found, load, explained=explained, sanctions=sanctions)
    verdict.note("wrong_answers", list(_wrong_answers(world, found, accounts)))
    verdict.numbers |= _statistics(found, load) | _about_sanctions(found, sanctions)
    verdict.numbers |= {
        "doors_seen_open": sum(each.doors_seen_open for each in world.witnesses),
        "sockets_seen_closed": sum(each.sockets_seen_closed for each in world.witnesses),
    }
    return verdict


def compare(found: Evidence, load: Load, *, explained: set[str], sanctions: Sequence[Sanction] = ()) -> Verdict:
    """What was left behind with what the users did and were told."""
    verdict = Verdict()
    verdict.note(
        "lost", [f"{job} was acknowledged and is not there" for job in load.acknowledged if job not in found.rows]
    )
    verdict.note("stuck", [f"stuck: {row}" for row in found.rows.values() if row.status in UNFINISHED])
    verdict.note("unwanted", list(_unwanted(found, load)))
    verdict.note("unexplained_failures", list(_unexplained(found, explained)))
    verdict.note("wrong_cancellations", list(_wrongly_canceled(found, load, sanctions)))
    verdict.note("wrong_results", list(_wrong_results(found)))
    verdict.note("duplicates", list(_duplicates(found)))
    verdict.note("orphans_of_results", list(_orphans_of_results(found)))
    verdict.note("ran_on", list(_ran_on(found, sanctions)))
    verdict.note("accepted_all_the_same", list(_accepted_all_the_same(found, sanctions)))
    verdict.note("taken_from_teams", list(_taken_away(found, sanctions)))
    verdict.note("open_doors", [door for each in sanctions for door in each.open_doors])
    return verdict


# ---------------------------------------------------------------------------------------------- what is there
def _gather(world: World) -> Evidence:
    rows = {
        row.id: row
        for row in world.records(
            class_row(Row),
            "SELECT id::text, user_id, workspace_id, status, attempt, losses, inputs, error_code, error_message,"
            " server_id, tag, store_attempts, store_after, cancel_requested_at, created_at, submitted_at, finished_at"
            " FROM generations_generation",
        )
    }
    outputs: dict[str, list[Stored]] = {}
    for output in world.records(
        class_row(Stored),
        "SELECT o.generation_id::text, o.position, a.user_id, a.key, a.thumbnail_key, a.size_bytes, a.hash"
        " FROM generations_output o JOIN generations_asset a ON a.id = o.asset_id ORDER BY o.position",
    ):
        outputs.setdefault(output.generation_id, []).append(output)
    return Evidence(rows, outputs, *_objects(world), _originals(world))


def _objects(world: World) -> tuple[dict[str, tuple[int, str]], dict[str, str]]:
    with closing(s3.client(f"http://127.0.0.1:{world.s3_port}")) as bucket:
        pages = bucket.get_paginator("list_objects_v2").paginate(Bucket=s3.BUCKET, Prefix="outputs/")
        objects, pictures = {}, {}
        for key in [item["Key"] for page in pages for item in page.get("Contents", [])]:
            content: bytes = bucket.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read()
            objects[key] = (len(content), _hash(content))
            with Image.open(BytesIO(content)) as image:
                pictures[key] = _picture(image)
        return objects, pictures


def _originals(world: World) -> dict[str, int]:
    found = {}
    for path in world.output_files():
        with Image.open(path) as image:
            graph = json.loads(str(image.info["prompt"]))
            found[_picture(image)] = int(graph["3"]["inputs"]["seed"])
    return found


def _picture(image: Image.Image) -> str:
    """Of the pixels alone: results come without the graph that the server wrote into the file."""
    return _hash(image.convert("RGB").tobytes())


def _hash(content: bytes) -> str:
    return f"blake3:{blake3(content).hexdigest()}"


# ---------------------------------------------------------------------------------------------- what must hold
def _unwanted(found: Evidence, load: Load) -> Iterator[str]:
    """More than one row for a wish is explained by answers that got lost, and by nothing else."""
    by_seed = Counter(row.seed for row in found.rows.values())
    acknowledged = Counter(wish.seed for wish in load.acknowledged.values())
    for seed, number in by_seed.items():
        if number > acknowledged[seed] + load.in_doubt[seed]:
            yield f"{number} generations have the seed {seed}, which was submitted less often"
    for row in found.rows.values():
        wish = load.wishes.get(row.seed)
        if wish is None or (row.user_id, row.workspace_id, row.inputs["count"]) != (
            wish.user_id,
            wish.workspace_id,
            wish.count,
        ):
            yield f"{row.id} is not what its user {row.user_id} wanted: {wish}"
    for job, wish in load.acknowledged.items():
        if job in found.rows and found.rows[job].seed != wish.seed:
            yield f"{job} was acknowledged for the seed {wish.seed}, and has {found.rows[job].seed}"


def _unexplained(found: Evidence, explained: set[str]) -> Iterator[str]:
    for row in found.rows.values():
        if row.status == "failed" and (not row.error_message or row.error_code not in explained):
            yield f"{row.id} failed with {row.error_code!r}, which nothing that was done explains: {row.error_message}"


def _wrongly_canceled(found: Evidence, load: Load, sanctions: Sequence[Sanction]) -> Iterator[str]:
    """Nobody's is canceled unasked, and who was told that it stops gets no result any more."""
    withdrawn = {row.id for each in sanctions for row in _under_way(found, each)}
    for row in found.rows.values():
        if row.status == "canceled" and row.id not in load.asked_to_cancel | withdrawn:
            yield f"{row.id} was canceled, and nobody asked for it"
    for job, answer in load.cancel_answers.items():
        if (
            answer in {"canceled", "canceling"}
            and job in found.rows
            and found.rows[job].status in {"succeeded", "failed"}
        ):
            yield f"{job} was told to be {answer}, and then {found.rows[job].status}"


def _under_way(found: Evidence, sanction: Sanction) -> Iterator[Row]:
    """What this person had begun there, and not at its end, when they were suspended or removed."""
    for row in found.rows.values():
        is_begun = row.created_at <= (sanction.in_force_at or NEVER)
        if sanction.covers(row.user_id, row.workspace_id) and is_begun and row.end >= sanction.asked_at:
            yield row


def _ran_on(found: Evidence, sanctions: Sequence[Sanction]) -> Iterator[str]:
    for sanction in sanctions:
        for row in _under_way(found, sanction):
            began = sanction.in_force_at or NEVER
            if row.submitted_at is not None and began < row.submitted_at < (sanction.lifted_at or NEVER):
                yield f"{row.id} was given to a server at {row.submitted_at}: {sanction}"
            if (row.end - began).total_seconds() > WORK_SECONDS:
                yield f"{row.id} ended at {row.finished_at}, more than {WORK_SECONDS} s later: {sanction}"


def _accepted_all_the_same(found: Evidence, sanctions: Sequence[Sanction]) -> Iterator[str]:
    for sanction in sanctions:
        begin, end = sanction.in_force_at or NEVER, sanction.lifted_at or NEVER
        for row in found.rows.values():
            if sanction.covers(row.user_id, row.workspace_id) and begin < row.created_at < end:
                yield f"{row.id} was accepted at {row.created_at}: {sanction}"


def _taken_away(found: Evidence, sanctions: Sequence[Sanction]) -> Iterator[str]:
    """A team keeps what was finished, whoever leaves it, and so does everybody else."""
    for sanction in sanctions:
        for job in sanction.finished:
            if job not in found.rows or found.rows[job].status != "succeeded":
                yield f"{job} had its results before: {sanction}"


def _wrong_results(found: Evidence) -> Iterator[str]:
    for row in found.rows.values():
        outputs = found.outputs.get(row.id, [])
        if row.status == "succeeded":
            positions = [output.position for output in outputs]
            if positions != list(range(row.inputs["count"])):
                yield f"{row.id} has outputs at {positions} where {row.inputs['count']} were wanted"
        if row.status != "canceled":  # what those had is not shown, and may be gone
            for output in outputs:
                yield from (f"{row.id} {problem}" for problem in _problems_of(output, row, found))


def _problems_of(output: Stored, row: Row, found: Evidence) -> Iterator[str]:
    if output.user_id != row.user_id:
        yield f"belongs to user {row.user_id}, its file to {output.user_id}"
    if output.key not in found.objects:
        yield f"has no file in the storage at {output.key}"
    elif found.objects[output.key] != (output.size_bytes, output.hash):
        yield f"is described as {(output.size_bytes, output.hash)}, and {found.objects[output.key]} is stored"
    if output.thumbnail_key not in found.objects:
        yield f"has no thumbnail in the storage at {output.thumbnail_key!r}"
    picture = found.pictures.get(output.key, "")
    if picture not in found.originals:
        yield "has a picture that no server made"
    elif found.originals[picture] != row.seed:
        yield f"has the picture of seed {found.originals[picture]} instead of {row.seed}"


def _duplicates(found: Evidence) -> Iterator[str]:
    everything = [output for each in found.outputs.values() for output in each]
    for key, number in Counter(output.key for output in everything).items():
        if number > 1:
            yield f"{key} belongs to {number} outputs"
    for place, number in Counter((output.generation_id, output.position) for output in everything).items():
        if number > 1:
            yield f"{number} outputs are at position {place[1]} of {place[0]}"
    owners: dict[str, set[str]] = {}
    for output in everything:
        owners.setdefault(found.pictures.get(output.key, output.key), set()).add(output.generation_id)
    for several in owners.values():
        # Two rows of one wish, whose first answer was lost, have the same picture rightly.
        if len({found.rows[job].seed for job in several}) > 1:
            yield f"{', '.join(sorted(several))} have the same picture"


def _orphans(found: Evidence) -> dict[str, str]:
    """Files that no output names, with the status of the generation whose they were."""
    named = {key for each in found.outputs.values() for output in each for key in (output.key, output.thumbnail_key)}
    owner = {key: key.split("/")[1] for key in found.objects if key not in named}
    return {key: found.rows[job].status if job in found.rows else "deleted" for key, job in owner.items()}


def _orphans_of_results(found: Evidence) -> Iterator[str]:
    """Files left behind are excused where a user canceled in the middle of copying."""
    for key, status in _orphans(found).items():
        if status != "canceled":
            yield f"{key} belongs to no output, and its generation is {status}"


def _wrong_answers(world: World, found: Evidence, accounts: list[Account]) -> Iterator[str]:
    """What the site itself says: canceled ones show nothing, others show their outputs, to who may see them alone."""
    gone = {each.sanction.user_id for each in world.witnesses if each.sanction.lifted_at is None}
    with httpx.Client(base_url=f"http://127.0.0.1:{world.web_ports[0]}/api/v2/", timeout=20) as client:
        for row in _asked_for(found, accounts):
            path = f"jobs/{row.id}"
            # Somebody else of the team first: whoever made it may be gone.
            insiders = sorted(_insiders(row, accounts), key=lambda each: each.user_id == row.user_id)
            answer = _answer(client, path, insiders[0].key_for(row.workspace_id))
            if answer.status_code != 200:
                yield f"{row.id} is answered with {answer.status_code}: {answer.text[:200]}"
                continue
            mine = answer.json()
            shown, wanted = len(mine["outputs"]), 0 if row.status == "canceled" else row.inputs["count"]
            if (mine["status"], shown) != (row.status, wanted):
                yield f"{row.id} is shown as {mine['status']} with {shown} outputs"
            strangers = [each for each in accounts if each not in insiders]
            for stranger in sorted(strangers, key=lambda each: each.user_id not in gone)[:2]:
                status = _answer(client, path, stranger.key).status_code
                if status != 404:
                    yield f"{row.id} is answered to the stranger {stranger.user_id} with {status}"


def _asked_for(found: Evidence, accounts: list[Account]) -> list[Row]:
    """All that were canceled, and some results of people and of teams."""
    rows, teams = list(found.rows.values()), {each.team_id for each in accounts}
    succeeded = [row for row in rows if row.status == "succeeded"]
    of_teams = [row for row in succeeded if row.workspace_id in teams]
    of_people = [row for row in succeeded if row.workspace_id not in teams]
    canceled = [row for row in rows if row.status == "canceled"]
    return [*canceled, *of_people[:SHOWN_TO_STRANGERS], *of_teams[:SHOWN_TO_STRANGERS]]


def _insiders(row: Row, accounts: list[Account]) -> list[Account]:
    """Everybody who may see it: with a key for where it is."""
    return [each for each in accounts if row.workspace_id == each.workspace_id or _is_member(each, row.workspace_id)]


def _is_member(account: Account, workspace_id: int) -> bool:
    return account.team_id == workspace_id and bool(account.team_key)


def _answer(client: httpx.Client, path: str, key: str) -> httpx.Response:
    """As a client gets it that waits when it is asked to (429, 503): the last fault may be a moment ago."""

    def ask() -> httpx.Response | None:
        response = client.get(path, headers={"Authorization": f"Bearer {key}"})
        return None if response.status_code in {429, 503} else response

    return eventually(ask, seconds=30, what=f"an answer to GET {path}")


# ---------------------------------------------------------------------------------------------- for the summary
def _statistics(found: Evidence, load: Load) -> dict[str, Any]:
    rows = found.rows.values()
    slowest_first = sorted(rows, key=lambda row: row.seconds, reverse=True)
    seconds = [row.seconds for row in rows]
    quantiles = statistics.quantiles(seconds, n=20) if len(seconds) > 1 else []
    return {
        "generations": len(rows),
        "acknowledged": len(load.acknowledged),
        "submissions_in_doubt": load.in_doubt.total(),
        "submissions_unreached": load.unreached,
        "submissions_refused": dict(load.refused),
        "cancel_answers": dict(Counter(load.cancel_answers.values())),
        "by_status": dict(Counter(row.status for row in rows)),
        "by_attempt": dict(sorted(Counter(row.attempt for row in rows).items())),
        "wishes_dropped": load.dropped,
        "failures": dict(Counter(row.error_code for row in rows if row.status == "failed")),
        "orphaned_files": dict(Counter(_orphans(found).values())),
        "seconds_p50": round(quantiles[9], 1) if quantiles else None,
        "seconds_p95": round(quantiles[18], 1) if quantiles else None,
        "slowest": [
            f"{row.id}: {row.seconds:.1f} s, {row.attempt} attempts, {row.losses} losses, {row.store_attempts} copyings"
            for row in slowest_first[:5]
        ],
    }


def _about_sanctions(found: Evidence, sanctions: Sequence[Sanction]) -> dict[str, Any]:
    held = [each for each in sanctions if each.in_force_at is not None]
    ends = [(row.end - (each.in_force_at or NEVER)).total_seconds() for each in held for row in _under_way(found, each)]
    return {
        "suspended": sum(each.workspace_id is None for each in held),
        "removed": sum(each.workspace_id is not None for each in held),
        "under_way_then": len(ends),
        "seconds_until_nothing_ran": round(max(ends, default=0.0), 1),
    }
