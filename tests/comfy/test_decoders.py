"""Decoder processes: limited, used again, and one that dies fails its own file alone."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from PIL import Image

from generations.comfy import decoder_process, decoders
from tests.support import bombs
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[decoders._Pool]:
    """Processes of this test alone."""
    fresh = decoders._Pool()
    monkeypatch.setattr(decoders, "_pool", fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def picture() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(bombs.png(640, 480))
        yield file


def pids(pool: decoders._Pool) -> list[int]:
    return [each._process.pid for each in pool._idle]


def test_a_decoder_is_used_again(pool: decoders._Pool, picture: IO[bytes]) -> None:
    assert decoders.ask("measure", "PNG", picture) == [640, 480]
    first = pids(pool)
    assert decoders.ask("measure", "PNG", picture) == [640, 480]
    assert pids(pool) == first
    assert len(first) == 1


def test_a_decoder_is_replaced_after_many_files(
    pool: decoders._Pool, picture: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "FILES_EACH", 2)
    decoders.ask("measure", "PNG", picture)
    first = pids(pool)
    decoders.ask("measure", "PNG", picture)
    assert pids(pool) == []
    decoders.ask("measure", "PNG", picture)
    assert pids(pool) != first


def test_what_it_writes_is_read_from_its_start_and_the_file_stays_where_it_was(picture: IO[bytes]) -> None:
    picture.seek(10)
    with tempfile.TemporaryFile() as output:
        decoders.ask("thumbnail", "PNG", picture, output)
        with Image.open(io.BytesIO(output.read())) as image:
            assert (image.format, image.size) == ("WEBP", (512, 384))
    assert picture.tell() == 10
    assert picture.read(4) == bombs.png(640, 480)[10:14]


def test_a_damaged_file_is_an_error_and_the_decoder_goes_on(pool: decoders._Pool, picture: IO[bytes]) -> None:
    with tempfile.TemporaryFile() as damaged:
        damaged.write(b"\x89PNG\r\n\x1a\n and nothing more")
        with pytest.raises(decoders.UndecodableError, match="UnidentifiedImageError"):
            decoders.ask("measure", "PNG", damaged)
    before = pids(pool)
    assert decoders.ask("measure", "PNG", picture) == [640, 480]
    assert pids(pool) == before


def test_only_the_format_that_was_sniffed_is_tried(picture: IO[bytes]) -> None:
    with pytest.raises(decoders.UndecodableError):
        decoders.ask("measure", "JPEG", picture)


def test_a_decoder_that_dies_fails_its_own_file_alone(pool: decoders._Pool, picture: IO[bytes]) -> None:
    decoders.ask("measure", "PNG", picture)
    (pid,) = pids(pool)
    os.kill(pid, signal.SIGSTOP)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            decoders.ask("measure", "PNG", picture)
        except decoders.UndecodableError as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: not pool._idle, what="the decoder is taken")
    os.kill(pid, signal.SIGKILL)
    asking.join()
    assert len(failures) == 1
    assert decoders.ask("measure", "PNG", picture) == [640, 480]


def test_a_decoder_that_died_between_files_fails_none(pool: decoders._Pool, picture: IO[bytes]) -> None:
    decoders.ask("measure", "PNG", picture)
    (idle,) = pool._idle
    os.kill(idle._process.pid, signal.SIGKILL)
    eventually(lambda: not idle.is_alive, what="its end")
    assert decoders.ask("measure", "PNG", picture) == [640, 480]


def test_a_decoder_that_does_not_answer_is_killed(
    pool: decoders._Pool, picture: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoders.ask("measure", "PNG", picture)
    (idle,) = pool._idle
    os.kill(idle._process.pid, signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(decoders, "DEADLINE_SECONDS", 0.1)
        with pytest.raises(decoders.UndecodableError, match="did not answer"):
            decoders.ask("measure", "PNG", picture)
    assert not idle.is_alive
    assert decoders.ask("measure", "PNG", picture) == [640, 480]


def test_no_more_than_a_few_work_at_a_time(
    pool: decoders._Pool, picture: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "WAIT_SECONDS", 0.01)
    for _ in range(decoders.AT_ONCE):
        assert pool._places.acquire(blocking=False)
    with pytest.raises(decoders.BusyError, match="Try again in a minute"):
        decoders.ask("measure", "PNG", picture)
    pool._places.release()
    assert decoders.ask("measure", "PNG", picture) == [640, 480]


def test_memory_time_and_output_are_limited(pool: decoders._Pool, picture: IO[bytes]) -> None:
    decoders.ask("measure", "PNG", picture)
    (pid,) = pids(pool)
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    memory, _hard = resource.prlimit(pid, resource.RLIMIT_AS)
    assert memory <= size + decoder_process.MEMORY_BYTES + decoder_process.FFMPEG_BYTES
    assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] <= decoder_process.CPU_SECONDS + 5
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[1] == decoder_process.OUTPUT_BYTES
    assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"


def test_a_decoder_knows_no_secrets(pool: decoders._Pool, picture: IO[bytes]) -> None:
    decoders.ask("measure", "PNG", picture)
    (pid,) = pids(pool)
    assert b"SECRET_KEY" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_forked_process_has_decoders_of_its_own(
    pool: decoders._Pool, picture: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Celery's workers are."""
    os.register_at_fork(after_in_child=pool.start_anew)
    decoders.ask("measure", "PNG", picture)
    before = pids(pool)
    pid = os.fork()
    if pid == 0:
        is_fine = not pool._idle and decoders.ask("measure", "PNG", picture) == [640, 480] and pids(pool) != before
        pool.close()
        os._exit(0 if is_fine else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert decoders.ask("measure", "PNG", picture) == [640, 480]
    assert pids(pool) == before


@pytest.mark.parametrize("module", ["av", "PIL.AvifImagePlugin"])
def test_a_process_that_asks_loads_no_decoder_itself(module: str) -> None:
    movie = Path(__file__).parent / "media" / "tiny.mp4"
    program = f"""
import io, sys
from generations.comfy import decoders
from generations.comfy.embedded import NoWorkflowError, read_embedded
file = io.BytesIO(open({str(movie)!r}, "rb").read())
assert decoders.ask("streams", "mov", file) == ["video"]
try:
    read_embedded(file)
except NoWorkflowError as error:
    assert str(error).startswith("This is a video without a workflow"), error
assert {module!r} not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
