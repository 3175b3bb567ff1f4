import asyncio
import io
import json
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from aiohttp import web

from generations.comfy.client import ComfyClient
from generations.comfy.errors import NotFound, ProtocolError, Rejected, Unavailable
from generations.comfy.messages import ExecutionError
from generations.comfy.outputs import FileRef
from generations.comfy.state import SystemStats, read_history
from tests.comfy.fake_server import serving
from tests.comfy.recorded import recording
from tests.support.waiting import patient

PROMPT_ID = "c1c36bbd-0394-4907-85ff-c85de3511468"
GRAPH: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": {"seed": 2**64 - 1}}}


def client_of(
    handler: Callable[[httpx.Request], httpx.Response], base_url: str = "http://comfy:8188", **options: Any
) -> ComfyClient:
    return ComfyClient(base_url, transport=httpx.MockTransport(handler), **options)


def answering(status: int, content: object = b"", **options: Any) -> ComfyClient:
    """A client whose every request gets this answer; objects are sent as JSON."""
    if isinstance(content, str | bytes):
        return client_of(lambda _request: httpx.Response(status, content=content, **options))
    return client_of(lambda _request: httpx.Response(status, json=content, **options))


def submit(client: ComfyClient, **changes: Any) -> Any:
    return client.submit(**{"graph": GRAPH, "client_id": "me", "prompt_id": PROMPT_ID, **changes})


class TestSubmit:
    def test_sends_exactly_what_the_server_needs(self) -> None:
        sent: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(200, json={"prompt_id": PROMPT_ID, "number": 7.0, "node_errors": {}})

        submission = submit(client_of(handler), graph={**GRAPH, "2": {"class_type": "Note"}})
        body = json.loads(sent[0].content)
        assert str(sent[0].url) == "http://comfy:8188/api/prompt"
        assert body == {
            "prompt": {**GRAPH, "2": {"class_type": "Note", "inputs": {}}},
            "client_id": "me",
            "prompt_id": PROMPT_ID,
        }
        assert (submission.prompt_id, submission.number, submission.node_errors) == (PROMPT_ID, 7, ())

    def test_extra_data_is_passed_on(self) -> None:
        def handler(request: httpx.Request) -> httpx.Response:
            assert json.loads(request.content)["extra_data"] == {"preview_method": "auto"}
            return httpx.Response(200, json={"prompt_id": PROMPT_ID, "number": 1})

        assert submit(client_of(handler), extra_data={"preview_method": "auto"}).number == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"client_id": ""},
            {"prompt_id": ""},
            {"prompt_id": PROMPT_ID.upper()},
            {"prompt_id": PROMPT_ID.replace("-", "")},
            {"graph": {"1": {"inputs": {}}}},
            {"graph": {"1": {"class_type": "A", "inputs": None}}},
            {"graph": {"1": {"class_type": "A", "inputs": {"x": float("nan")}}}},
        ],
    )
    def test_what_would_harm_the_server_is_never_sent(self, changes: dict[str, Any]) -> None:
        def handler(_request: httpx.Request) -> httpx.Response:
            raise AssertionError("sent")

        with pytest.raises(ValueError, match=r".+"):
            submit(client_of(handler), **changes)

    @pytest.mark.parametrize(
        ("name", "node", "class_type", "type_", "input_name"),
        [
            ("bad_values", "4", "CheckpointLoaderSimple", "value_not_in_list", "ckpt_name"),
            ("type_mismatch", "9", "SaveImage", "return_type_mismatch", "images"),
            ("missing_input_file", "1", "LoadImage", "custom_validation_failed", "image"),
        ],
    )
    def test_a_recorded_rejection_names_node_and_input(
        self, name: str, node: str, class_type: str, type_: str, input_name: str
    ) -> None:
        with pytest.raises(Rejected) as caught:
            submit(answering(400, recording(name)["post_body"]))
        first = caught.value.node_errors[0]
        assert (first.node_id, first.class_type, first.type, first.input_name) == (
            node,
            class_type,
            type_,
            input_name,
        )
        assert class_type in str(caught.value)

    def test_a_rejection_as_a_whole_gives_its_reason(self) -> None:
        with pytest.raises(Rejected) as caught:
            submit(answering(400, recording("missing_node")["post_body"]))
        assert caught.value.type == "invalid_prompt"
        assert str(caught.value) == (
            "ComfyUI rejected the request: Cannot execute because node NoSuchNode does not exist. (Node ID '#3')."
        )

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"error": "no good", "node_errors": []}, "no good"),
            ({"detail": "nope"}, "nope"),
            ("plain words", "plain words"),
            ("", "HTTP 400"),
            ({"error": None}, "no reason"),
            ({"error": {}, "node_errors": [{"node_id": "3", "errors": ["bad"]}]}, "node 3: bad"),
            ({"node_errors": {"3": "bad"}}, "node 3: bad"),
        ],
    )
    def test_rejections_of_any_shape_are_read(self, body: object, expected: str) -> None:
        with pytest.raises(Rejected, match=expected):
            submit(answering(400, body))

    def test_an_accepted_prompt_keeps_its_partial_errors(self) -> None:
        errors = recording("bad_values")["post_body"]["node_errors"]
        answer = {"prompt_id": PROMPT_ID, "number": 3, "node_errors": errors}
        assert {e.node_id for e in submit(answering(200, answer)).node_errors} == {"3", "4"}

    @pytest.mark.parametrize(
        "client",
        [
            answering(500, "500 Internal Server Error"),
            answering(504, "<html>"),
            answering(200, "<html>login", headers={"content-type": "text/html"}),
            answering(200, {}),
        ],
    )
    def test_an_answer_that_tells_nothing_is_ambiguous(self, client: ComfyClient) -> None:
        with pytest.raises(Unavailable) as caught:
            submit(client)
        assert caught.value.is_ambiguous

    @pytest.mark.parametrize(
        ("error", "is_ambiguous"),
        [
            (httpx.ConnectError("x"), False),
            (httpx.ConnectTimeout("x"), False),
            (httpx.ReadTimeout("x"), True),
            (httpx.ReadError("x"), True),
            (httpx.RemoteProtocolError("x"), True),
        ],
    )
    def test_a_lost_answer_is_ambiguous_and_never_repeated(self, error: Exception, is_ambiguous: bool) -> None:
        calls = []

        def handler(request: httpx.Request) -> httpx.Response:
            calls.append(request)
            raise error

        with pytest.raises(Unavailable) as caught:
            submit(client_of(handler))
        assert caught.value.is_ambiguous is is_ambiguous
        assert len(calls) == 1
        assert str(caught.value).startswith("ComfyUI at http://comfy:8188 ")

    def test_a_request_that_is_too_large_is_rejected(self) -> None:
        with pytest.raises(Rejected, match="larger"):
            submit(answering(413, "Maximum request body size 5 exceeded."))


class TestQueue:
    ITEMS = {
        "queue_running": [[3, "r", {}, {"client_id": "me"}, ["9"]]],
        "queue_pending": [
            [5, "c", {}, {}, []],
            [4.0, "b", {}, {}, [], "more"],
            [4, "a", {}],
            [-1, "front", {}],
        ],
    }

    def test_pending_prompts_are_in_their_order_of_running(self) -> None:
        queue = answering(200, self.ITEMS).queue()
        assert [item.prompt_id for item in queue.pending] == ["front", "a", "b", "c"]
        assert queue.running[0].client_id == "me"
        assert queue.prompt_ids == {"r", "front", "a", "b", "c"}

    @pytest.mark.parametrize(("prompt_id", "position"), [("r", 0), ("front", 1), ("c", 4), ("gone", None)])
    def test_position_counts_from_the_running_prompt(self, prompt_id: str, position: int | None) -> None:
        assert answering(200, self.ITEMS).queue().position(prompt_id) == position

    def test_remaining_prompts_are_counted(self) -> None:
        assert answering(200, {"exec_info": {"queue_remaining": 4}}).queue_remaining() == 4

    @pytest.mark.parametrize("answer", [[], {"queue_pending": [1]}, {"queue_pending": [["x", "y"]]}])
    def test_nonsense_is_a_protocol_error(self, answer: object) -> None:
        with pytest.raises(ProtocolError):
            answering(200, answer).queue()


class TestHistory:
    @pytest.mark.parametrize(
        ("name", "outcome"),
        [("sd15_cold", "success"), ("runtime_error", "error"), ("interrupted", "interrupted")],
    )
    def test_recorded_outcomes(self, name: str, outcome: str) -> None:
        history = recording(name)["history"]
        (prompt_id,) = history
        entry = answering(200, history).history(prompt_id)
        assert entry is not None
        assert entry.outcome == outcome
        assert isinstance(entry.error, ExecutionError) is (outcome == "error")
        assert entry.started_at_ms is not None
        assert entry.ended_at_ms is not None
        assert entry.ended_at_ms >= entry.started_at_ms

    def test_unknown_and_unfinished_prompts_have_no_entry(self) -> None:
        assert answering(200, {}).history("x") is None

    def test_a_stale_success_is_overruled_by_the_last_message(self) -> None:
        error = ["execution_error", {"prompt_id": "p", "node_id": "1", "exception_message": "cycle"}]
        status = {"status_str": "success", "completed": True, "messages": [["execution_cached", {}], error]}
        status["messages"] = [["execution_start", {"prompt_id": "p"}], error]
        entry = read_history("p", {"p": {"outputs": {}, "status": status}})
        assert entry is not None
        assert entry.outcome == "error"
        assert entry.error is not None
        assert entry.error.exception_message == "cycle"

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (None, "success"),
            ({"status_str": "error", "completed": False}, "error"),
            ({"completed": True}, "success"),
        ],
    )
    def test_entries_without_messages_go_by_their_status(self, status: object, outcome: str) -> None:
        entry = read_history("p", {"p": {"outputs": None, "status": status}})
        assert entry is not None
        assert entry.outcome == outcome
        assert entry.outputs == {}
        assert entry.started_at_ms is None

    def test_nan_in_outputs_becomes_null(self) -> None:
        entry = answering(200, '{"p":{"outputs":{"1":{"v":[NaN,Infinity]}}}}').history("p")
        assert entry is not None
        assert entry.outputs == {"1": {"v": [None, None]}}


class TestControl:
    @pytest.mark.parametrize(
        ("call", "path", "body"),
        [
            (lambda c: c.delete_queued("p"), "/api/queue", {"delete": ["p"]}),
            (lambda c: c.delete_history("p"), "/api/history", {"delete": ["p"]}),
            (lambda c: c.interrupt("p"), "/api/interrupt", {"prompt_id": "p"}),
            (lambda c: c.free(), "/api/free", {"unload_models": True, "free_memory": True}),
        ],
    )
    def test_commands(self, call: Callable[[ComfyClient], None], path: str, body: object) -> None:
        sent: list[tuple[str, str, object]] = []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append((request.method, request.url.path, json.loads(request.content)))
            return httpx.Response(200)

        call(client_of(handler))
        assert sent == [("POST", path, body)]

    def test_an_interrupt_without_id_is_refused(self) -> None:
        with pytest.raises(ValueError, match="somebody else"):
            answering(200).interrupt("")


class TestServer:
    def test_the_version_decides_about_targeted_interrupts(self) -> None:
        stats = answering(200, {"system": {"comfyui_version": "0.3.64"}, "devices": []}).system_stats()
        assert stats.version == "0.3.64"
        assert stats.has_targeted_interrupt
        assert stats.raw["devices"] == []

    @pytest.mark.parametrize(
        ("version", "expected"), [("0.3.56", False), ("0.3.57", True), ("v0.45.2-dev", True), ("", False)]
    )
    def test_versions_are_compared_by_number(self, version: str, expected: bool) -> None:
        assert SystemStats(version, {}).is_at_least(0, 3, 57) is expected

    def test_servers_without_feature_flags_have_none(self) -> None:
        assert answering(404).features() == {}
        assert answering(200, {"supports_preview_metadata": True}).features() == {"supports_preview_metadata": True}

    def test_object_info_keeps_integers_exact(self) -> None:
        info = answering(200, {"A": {"max": 2**64 - 1}}).object_info()
        assert info == {"A": {"max": 18446744073709551615}}

    @pytest.mark.parametrize(
        ("client", "words"),
        [
            (answering(401), "credentials"),
            (answering(403), "refuses access"),
            (answering(404), "is the address right"),
            (answering(302, headers={"location": "/login"}), "redirects"),
            (answering(503), "HTTP 503"),
            (answering(200, "<html>", headers={"content-type": "text/html; charset=utf-8"}), "web page"),
        ],
    )
    def test_something_else_in_its_place_is_told_in_words(self, client: ComfyClient, words: str) -> None:
        with pytest.raises(Unavailable, match=words) as caught:
            client.queue()
        assert not caught.value.is_ambiguous

    def test_a_get_is_repeated_once_when_its_connection_was_dead(self) -> None:
        answers: list[object] = [httpx.RemoteProtocolError("dropped"), httpx.Response(200, json={})]

        def handler(_request: httpx.Request) -> httpx.Response:
            answer = answers.pop(0)
            if isinstance(answer, httpx.Response):
                return answer
            raise httpx.RemoteProtocolError("dropped")

        assert client_of(handler).object_info() == {}
        answers += [None, None, None]
        with pytest.raises(Unavailable, match="broke off"):
            client_of(handler).object_info()
        assert len(answers) == 1


class TestAddress:
    def test_prefix_credentials_query_and_headers_reach_the_server(self) -> None:
        sent: list[httpx.Request] = []

        def handler(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            return httpx.Response(200, json={})

        url = "https://us%40er:p%3Aw@gpu.example:8443/some/prefix/?token=a%26b"
        client_of(handler, url, headers={"X-Key": "1"}).object_info()
        request = sent[0]
        assert request.url.path == "/some/prefix/api/object_info"
        assert request.url.params["token"] == "a&b"
        assert request.headers["Authorization"] == "Basic dXNAZXI6cDp3"
        assert request.headers["X-Key"] == "1"

    def test_secrets_are_in_no_message(self) -> None:
        def handler(_request: httpx.Request) -> httpx.Response:
            raise httpx.ReadTimeout("https://u:secret@host")

        with pytest.raises(Unavailable) as caught:
            client_of(handler, "http://user:secret@host/?token=hidden").queue()
        assert "secret" not in str(caught.value)
        assert "hidden" not in str(caught.value)


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A real server: files to view, uploads kept, and an endpoint that hangs until the end."""
    uploads: list[dict[str, Any]] = []
    done = threading.Event()

    async def view(request: web.Request) -> web.StreamResponse:
        name = request.query["filename"]
        if name == "cut.png":
            response = web.StreamResponse(headers={"Content-Length": "1000000"})
            await response.prepare(request)
            await response.write(b"x" * 1000)
            assert request.transport is not None
            request.transport.abort()
            return response
        if name == "silent.png":
            return await hang(request)
        if name != "größe & co.png":
            return web.Response(status={"forbidden": 403, "bad": 400}.get(name, 404))
        assert request.headers["Accept-Encoding"] == "identity"
        assert (request.query["subfolder"], request.query["type"]) == ("a\\b", "temp")
        return web.Response(body=b"0123456789" * 100_000, content_type="image/png")

    async def upload(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["image"]
        assert isinstance(file, web.FileField)
        uploads.append({**form, "image": file.file.read(), "name": file.filename})
        return web.json_response({"name": "x (1).png", "subfolder": form["subfolder"], "type": "input"})

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.to_thread(done.wait, 10)
        return web.Response()

    app = web.Application(client_max_size=10**8)
    app.add_routes([web.get("/api/view", view), web.post("/api/upload/image", upload), web.post("/api/prompt", hang)])
    with serving(app) as url:
        yield url, uploads
        done.set()


def test_files_are_streamed_in_pieces(live: tuple[str, list[Any]]) -> None:
    with ComfyClient(live[0]) as client, client.view(FileRef("größe & co.png", "a\\b", "temp")) as stream:
        assert (stream.content_length, stream.content_type) == (1_000_000, "image/png")
        pieces = list(stream.iter_bytes(65_536))
    assert max(map(len, pieces)) == 65_536
    assert b"".join(pieces) == b"0123456789" * 100_000


def test_a_download_waits_no_longer_than_asked(live: tuple[str, list[Any]]) -> None:
    with (
        ComfyClient(live[0]) as client,
        pytest.raises(Unavailable, match="in time"),
        client.view(FileRef("silent.png"), silent_seconds=0.2),
    ):
        pass


def test_a_download_that_breaks_off_is_told(live: tuple[str, list[Any]]) -> None:
    with (
        ComfyClient(live[0]) as client,
        client.view(FileRef("cut.png")) as stream,
        pytest.raises(Unavailable, match="broke off"),
    ):
        list(stream.iter_bytes(65_536))


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (FileRef("gone.png"), NotFound),
        (FileRef("bad"), NotFound),
        (FileRef("forbidden", "../x"), NotFound),
        (FileRef("forbidden"), Unavailable),
    ],
)
def test_files_that_the_server_does_not_give(
    live: tuple[str, list[Any]], file: FileRef, error: type[Exception]
) -> None:
    with ComfyClient(live[0]) as client, pytest.raises(error), client.view(file):
        pass


def test_an_upload_returns_the_value_to_use(live: tuple[str, list[Any]]) -> None:
    with ComfyClient(live[0]) as client:
        value = client.upload_image("abc.png", io.BytesIO(b"png" * 1000), subfolder="mine")
        assert value == "mine/x (1).png"
        assert client.upload_image("abc.png", io.BytesIO(b"png"), overwrite=False) == "x (1).png"
    first, second = live[1][-2:]
    assert (first["image"], first["name"], first["overwrite"]) == (b"png" * 1000, "abc.png", "true")
    assert (first["type"], second["overwrite"]) == ("input", "false")


def test_a_server_that_hangs_is_ambiguous_for_a_submission(live: tuple[str, list[Any]]) -> None:
    with ComfyClient(live[0], timeout=0.2) as client, pytest.raises(Unavailable, match="in time") as caught:
        client.submit(GRAPH, client_id="me", prompt_id=str(uuid.uuid4()))
    assert caught.value.is_ambiguous


def test_a_balancer_finds_its_server_again_by_its_cookie() -> None:
    seen: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cookie"))
        headers = {"Set-Cookie": "server=b; Path=/"}
        return httpx.Response(200, json={"exec_info": {"queue_remaining": 0}}, headers=headers)

    client = client_of(handler)
    client.queue_remaining()
    client.queue_remaining()
    assert seen == [None, "server=b"]


def test_a_closed_client_asks_nobody() -> None:
    client = answering(200, {})
    client.close()
    with pytest.raises(Unavailable) as caught:
        submit(client)
    assert not caught.value.is_ambiguous


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://elsewhere/login"})

    with pytest.raises(Unavailable, match="redirects elsewhere"):
        client_of(handler).queue_remaining()
    assert len(asked) == 1


@pytest.mark.parametrize("scheme", ["http://", ""])
@pytest.mark.parametrize(
    ("exempt", "is_asked"),
    [
        ("", True),
        ("another.example,localhost:2", True),
        ("localhost", False),
        ("another.example,localhost:1", False),
        ("http://localhost", False),
        ("*", False),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    scheme: str, exempt: str, is_asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(patient(10 if is_asked else 0.2))
        monkeypatch.setenv("http_proxy", f"{scheme}127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("no_proxy", exempt)
        client = ComfyClient("http://localhost:1", timeout=httpx.Timeout(patient(10), connect=patient(0.5)))

        def ask() -> None:
            with pytest.raises(Unavailable):
                client.queue_remaining()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(100).startswith(b"GET http://localhost:1/api/prompt")
                assert is_asked
        except TimeoutError:
            assert not is_asked
    asking.join(patient(20))  # its second try meets nobody


def test_a_refused_connection_is_not_ambiguous() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with ComfyClient(url) as client, pytest.raises(Unavailable, match="cannot be reached") as caught:
            client.submit(GRAPH, client_id="me", prompt_id=str(uuid.uuid4()))
    assert not caught.value.is_ambiguous


def test_threads_share_a_client(live: tuple[str, list[Any]]) -> None:
    sizes: list[int] = []

    def download(client: ComfyClient) -> None:
        with client.view(FileRef("größe & co.png", "a\\b", "temp")) as stream:
            sizes.append(sum(map(len, stream.iter_bytes(65_536))))

    with ComfyClient(live[0]) as client:
        threads = [threading.Thread(target=download, args=[client]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(patient(20))
    assert sizes == [1_000_000] * 6
