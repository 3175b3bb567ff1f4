"""What a ComfyUI knows of our prompts, asked in the ways that each version has."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from generations.comfy.client import ComfyClient
from generations.comfy.errors import Unavailable
from generations.origins import Mark
from generations.relay.upstream import Sighting, Upstream, is_uuid
from tests.support.graphs import plain, text_to_image
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually

OLD, NEW = "0.3.40", "newest"
MARK = Mark("6f1c2a34-0000-4000-8000-000000000001", 1)
Send = Callable[..., str]


@pytest.fixture(params=[OLD, NEW])
def simulator(request: pytest.FixtureRequest) -> Iterator[RunningSimulator]:
    """One that draws its own prompt_ids and has only a global interrupt, and one that has everything."""
    with RunningSimulator(profile=request.param) as running:
        yield running


@pytest.fixture
def client(simulator: RunningSimulator) -> Iterator[ComfyClient]:
    with closing(ComfyClient(simulator.url)) as found:
        yield found


@pytest.fixture
def upstream(client: ComfyClient) -> Upstream:
    found = Upstream(client)
    found.meet()
    return found


@pytest.fixture
def send(client: ComfyClient) -> Send:
    """Puts a prompt into the queue, with our mark unless another is given. Returns the id that the server gave it."""

    def submit(seed: int, mark: Mark | None = MARK) -> str:
        graph = text_to_image(seed, steps=20)
        extra = mark.as_extra_data() if mark else {}
        asked = str(uuid.uuid4())
        return client.submit(graph=graph, client_id="tests", prompt_id=asked, extra_data=extra).prompt_id

    return submit


def test_each_prompt_is_where_it_is(
    simulator: RunningSimulator, client: ComfyClient, upstream: Upstream, send: Send
) -> None:
    ended = client.submit(graph=plain(), client_id="tests", prompt_id=str(uuid.uuid4())).prompt_id
    eventually(lambda: client.history(ended), what="the end of the first one")
    simulator.hold()
    running, waiting, gone = send(1), send(2), str(uuid.uuid4())
    eventually(lambda: client.queue().running, what="the start of the second one")
    found, queue = upstream.look([ended, running, waiting, gone])
    assert [found[each].where for each in (running, waiting, gone)] == ["running", "waiting", "unknown"]
    assert found[ended] == Sighting("ended", client.history(ended))
    assert queue.prompt_ids == {running, waiting}


def test_a_prompt_is_found_by_its_mark_in_the_queue_and_in_the_history(
    simulator: RunningSimulator, client: ComfyClient, upstream: Upstream, send: Send
) -> None:
    simulator.hold()
    send(1, mark=None)
    mine, other = send(2), send(3, mark=Mark(MARK.generation, 2))  # another attempt is another prompt
    queue = client.queue()
    assert [(item.prompt_id, mark) for item, mark in upstream.marked(queue)] == [
        (mine, MARK), (other, Mark(MARK.generation, 2))
    ]  # fmt: skip
    assert upstream.find(MARK, besides="another", queue=queue) == mine
    assert upstream.find(MARK, besides=mine, queue=queue) is None
    simulator.go_on()
    eventually(lambda: not client.queue().prompt_ids, what="the end of all three")
    assert upstream.find(MARK, besides="another", queue=client.queue()) == mine
    assert upstream.find(MARK, besides="another", queue=client.queue(), has_ended=False) is None


def test_only_the_prompt_that_is_meant_is_stopped(
    simulator: RunningSimulator, client: ComfyClient, upstream: Upstream, send: Send
) -> None:
    simulator.hold()
    first, second, third = send(1), send(2), send(3)
    eventually(lambda: client.queue().running, what="the first to start")
    assert upstream.stop(second)  # it was waiting
    assert client.queue().prompt_ids == {first, third}
    assert not upstream.stop(first)  # it is asked to stop, which takes a moment
    eventually(lambda: {item.prompt_id for item in client.queue().running} == {third}, what="the end of the first")
    assert upstream.stop(first) and upstream.stop(str(uuid.uuid4()))
    assert client.queue().prompt_ids == {third}


def test_parts_of_a_batch_are_told_in_their_order(
    simulator: RunningSimulator, client: ComfyClient, upstream: Upstream, send: Send
) -> None:
    first, second = send(1), send(2)
    eventually(lambda: client.history(second), what="the end of both")
    simulator.hold()
    third = send(3)
    entry, last = client.history(first), client.history(second)
    assert entry is not None and last is not None
    ended, following = upstream.rest_of(entry, MARK)
    assert ([each.prompt_id for each in ended], following) == ([second], third)
    assert upstream.rest_of(last, MARK) == ([], third)
    assert upstream.rest_of(entry, Mark(MARK.generation, 9)) == ([], None)


def test_nonsense_about_one_prompt_leaves_that_one_out_and_silence_ends_the_look() -> None:
    answers = {"/api/queue": httpx.Response(200, json={"queue_running": [], "queue_pending": []})}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/queue":
            return answers["/api/queue"]
        if request.url.path.endswith("dead"):
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(404) if "jobs" in request.url.path else httpx.Response(200, json=["nonsense"])

    with closing(ComfyClient("http://comfy:8188", transport=httpx.MockTransport(answer))) as client:
        upstream = Upstream(client)
        upstream._has_jobs = False  # it is an old one
        assert upstream.look(["odd"])[0] == {}
        with pytest.raises(Unavailable):
            upstream.look(["odd", "dead"])


@pytest.mark.parametrize(("text", "expected"), [(MARK.generation, True), ("", False), ("None", False), ("7", False)])
def test_only_uuids_can_be_ours(text: str, expected: bool) -> None:
    assert is_uuid(text) is expected
