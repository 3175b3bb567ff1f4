"""Was anything lost, stuck, duplicated, mixed up or failed without a reason? Looks past the product itself."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3
from PIL import Image

from tests.chaos.load import Load
from tests.chaos.world import World
from tests.support import s3

UNFINISHED = ("queued", "submitted", "running", "storing")
COLUMNS = "id, status, attempt, losses, error_code, error_message, inputs, prompt_id, server_id"


@dataclass(slots=True)
class Verdict:
    """`problems` is empty when all is well."""

    problems: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)


def unfinished(world: World) -> int:
    """How many generations are not at their end yet."""
    ((number,),) = world.rows("SELECT count(*) FROM generations_generation WHERE status = ANY(%s)", list(UNFINISHED))
    return int(number)


def judge(world: World, load: Load, *, explained: set[str]) -> Verdict:
    """Everything that can be checked once nothing goes on any more."""
    verdict = Verdict()
    rows = {str(row[0]): row for row in world.rows(f"SELECT {COLUMNS} FROM generations_generation")}
    _check_ends(verdict, rows, load, explained)
    _check_outputs(verdict, world, rows, load)
    verdict.numbers |= {
        "generations": len(rows),
        "acknowledged": len(load.acknowledged),
        "submissions_without_answer": load.unanswered,
        "submissions_refused": load.refused,
        "by_status": dict(Counter(row[1] for row in rows.values())),
        "by_attempt": dict(sorted(Counter(row[2] for row in rows.values()).items())),
        "failures": dict(Counter(row[4] for row in rows.values() if row[1] == "failed")),
        "problems": len(verdict.problems),
    }
    return verdict


def _check_ends(verdict: Verdict, rows: dict[str, Any], load: Load, explained: set[str]) -> None:
    lost = sorted(set(load.acknowledged) - set(rows))
    verdict.problems += [f"{job} was acknowledged and is not there" for job in lost]
    stuck = [row for row in rows.values() if row[1] in UNFINISHED]
    verdict.problems += [f"{row[0]} is still {row[1]} (attempt {row[2]}, server {row[8]})" for row in stuck]
    for row in rows.values():
        if row[1] == "failed" and (not row[5] or row[4] not in explained):
            verdict.problems.append(f"{row[0]} failed with {row[4]!r}, which nothing that was done explains: {row[5]}")
        if row[1] == "canceled" and str(row[0]) not in load.canceled:
            verdict.problems.append(f"{row[0]} was canceled, and nobody asked for it")
    verdict.numbers |= {"lost": len(lost), "stuck": len(stuck)}


def _check_outputs(verdict: Verdict, world: World, rows: dict[str, Any], load: Load) -> None:
    originals = _originals(world)
    outputs: dict[str, list[Any]] = {}
    query = (
        "SELECT o.generation_id, o.position, a.key, a.size_bytes, a.hash, a.thumbnail_key"
        " FROM generations_output o JOIN generations_asset a ON a.id = o.asset_id"
    )
    for row in world.rows(query):
        outputs.setdefault(str(row[0]), []).append(row)
    keys = Counter(output[2] for each in outputs.values() for output in each)
    doubled = [key for key, number in keys.items() if number > 1]
    verdict.problems += [f"{key} belongs to several outputs" for key in doubled]
    with closing(s3.client(f"http://127.0.0.1:{world.s3_port}")) as bucket:
        for job, row in rows.items():
            if row[1] == "succeeded":
                for problem in _problems_of_result(bucket, job, row, outputs.get(job, []), originals):
                    verdict.problems.append(f"{job} {problem}")
        pages = bucket.get_paginator("list_objects_v2").paginate(Bucket=s3.BUCKET, Prefix="outputs/")
        stored = {item["Key"] for page in pages for item in page.get("Contents", [])}
    named = {key for each in outputs.values() for output in each for key in (output[2], output[5])}
    verdict.numbers |= {"duplicates": len(doubled), "orphaned_files": len(stored - named)}


def _problems_of_result(
    bucket: Any, job: str, row: Any, outputs: list[Any], originals: dict[str, tuple[Path, int]]
) -> list[str]:
    if len(outputs) != 1:
        return [f"has {len(outputs)} outputs instead of 1"]
    _, _, key, size, digest, _ = outputs[0]
    content: bytes = bucket.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read()
    actual = f"blake3:{blake3(content).hexdigest()}"
    if (len(content), actual) != (size, digest):
        return [f"is described as {size} bytes {digest}, but {len(content)} bytes {actual} are stored"]
    if digest not in originals:
        return ["has a picture that no server made"]
    if originals[digest][1] != int(row[6]["seed"]):
        return [f"has the picture of seed {originals[digest][1]} instead of {row[6]['seed']}"]
    return []


def _originals(world: World) -> dict[str, tuple[Path, int]]:
    """Hash of every picture that was made -> (its file, the seed that it was made with)."""
    found = {}
    for path in world.output_files():
        with Image.open(path) as image:
            graph = json.loads(str(image.info["prompt"]))
        found[f"blake3:{blake3(path.read_bytes()).hexdigest()}"] = (path, int(graph["3"]["inputs"]["seed"]))
    return found
