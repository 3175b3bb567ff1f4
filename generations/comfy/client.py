"""ComfyUI's HTTP interface.

Nothing is retried here, because only the caller knows what a repetition would do. One exception: a GET whose
kept-alive connection turns out to be dead is sent once more. Routes: server.py of ComfyUI, all under /api.
"""

import json
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from generations.comfy.address import Address
from generations.comfy.errors import NotFound, NotSupported, ProtocolError, Rejected, Unavailable
from generations.comfy.graph import Graph
from generations.comfy.outputs import FileRef
from generations.comfy.state import (
    HistoryEntry,
    JobState,
    QueueItem,
    QueueState,
    Submission,
    SystemStats,
    read_histories,
    read_history,
    read_job,
    read_queue,
    read_queue_remaining,
    read_rejection,
    read_submission,
    read_system_stats,
)
from generations.comfy.wire import decode

__all__ = [
    "ComfyClient",
    "HistoryEntry",
    "QueueItem",
    "QueueState",
    "Submission",
    "SystemStats",
    "ViewStream",
]

# A busy server holds Python's GIL: answers can take many seconds (model loading, a first /object_info).
DEFAULT_TIMEOUT = httpx.Timeout(60, connect=5, pool=30)

_Answer = TypeVar("_Answer")
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_DROPPED = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class ViewStream:
    """A file being downloaded. `content_length` is in bytes, None when unknown.

    `iter_bytes` cuts it into pieces of that many bytes; None: as they arrive.
    """

    content_length: int | None
    content_type: str
    iter_bytes: Callable[[int | None], Iterator[bytes]]


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    """Shared by all clients: reading the certificates takes longer than a whole small job."""
    return httpx.create_ssl_context()


def _transport_to(address: Address) -> httpx.BaseTransport:
    """Connections of its own, through the proxy that the environment names for this address."""
    parts = urlsplit(address.root)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    # Exceptions may be hosts, hosts with a port, or, as httpx has it, addresses.
    if not proxy or proxy_bypass(parts.netloc) or f"{parts.scheme}://{parts.hostname}" in proxies.get("no", ""):
        return httpx.HTTPTransport(verify=_tls_context())
    return httpx.HTTPTransport(verify=_tls_context(), proxy=proxy if "://" in proxy else f"http://{proxy}")


class ComfyClient:
    """One ComfyUI server; safe to use from several threads.

    `base_url` may hold credentials, a path prefix and query parameters (see `Address`). Every method raises
    Unavailable when the server does not answer, and ProtocolError when its answer makes no sense.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: httpx.Timeout | float = DEFAULT_TIMEOUT,
    ) -> None:
        self.address = Address.parse(base_url)
        self._transport = transport or _transport_to(self.address)
        self._http = httpx.Client(
            base_url=self.address.root + "/api/",
            headers=self.address.headers(dict(headers or {})),
            params=list(self.address.query),
            transport=self._transport,
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # Prompts

    def submit(
        self,
        graph: Graph,
        *,
        client_id: str,
        prompt_id: str,
        extra_data: Mapping[str, object] | None = None,
    ) -> Submission:
        """Queues the graph. Raises Rejected with the server's node errors when it does not validate.

        ValueError: an id that is empty or no canonical UUID, or a graph that must not be sent to any server.
        After an Unavailable that `is_ambiguous`, look for `prompt_id` in `queue()` and `history()` before
        submitting again.
        """
        if not client_id:
            raise ValueError("A prompt without client_id gets no events.")
        if str(uuid.UUID(prompt_id)) != prompt_id:
            raise ValueError(f"{prompt_id!r} is not a lower-case UUID with hyphens.")
        body: dict[str, object] = {
            "prompt": _complete(graph),
            "client_id": client_id,
            "prompt_id": prompt_id,
        }
        # A null here kills the worker of the server, so the key is there only with content.
        if extra_data:
            body["extra_data"] = dict(extra_data)
        response = self._post("prompt", body)
        try:
            return read_submission(_json(response))
        except ProtocolError as error:
            raise self._unavailable(response, str(error), is_ambiguous=True) from error

    def queue(self) -> QueueState:
        return self._read("queue", read_queue)

    def queue_remaining(self) -> int:
        """Prompts pending and running. The cheapest call there is: also the health check."""
        return self._read("prompt", read_queue_remaining)

    def history(self, prompt_id: str) -> HistoryEntry | None:
        """The finished prompt; None while it waits or runs, and when the server never heard of it."""
        return self._read(f"history/{quote(prompt_id, safe='')}", lambda data: read_history(prompt_id, data))

    def recent_history(self, max_items: int) -> list[HistoryEntry]:
        """The prompts that ended last, oldest first."""
        return self._read(f"history?max_items={max_items}", read_histories)

    def job(self, prompt_id: str) -> JobState | None:
        """Where the prompt is; None when the server does not know it. NotSupported before 0.6.0."""
        path = f"jobs/{quote(prompt_id, safe='')}"
        response = self._transmit(self._http.build_request("GET", path))
        if self._is_unknown_job(response):
            return None
        return self._understood(self._checked(response), lambda data: read_job(prompt_id, data))

    def cancel_job(self, prompt_id: str) -> bool:
        """Stop it, whether it waits or runs; False when there was nothing to stop. NotSupported before 0.26.0."""
        request = self._http.build_request("POST", f"jobs/{quote(prompt_id, safe='')}/cancel", json={})
        response = self._transmit(request)
        if self._is_unknown_job(response):
            return False
        return self._understood(self._checked(response), _mapping).get("cancelled") is True

    def _is_unknown_job(self, response: httpx.Response) -> bool:
        """True for the jobs API's own 404. Raises NotSupported for that of a server that has none."""
        if response.status_code == 405:
            raise NotSupported(f"ComfyUI at {self.address} has no jobs API.")
        if response.status_code != 404:
            return False
        try:
            is_answer = "error" in _mapping(_json(response))
        except ProtocolError:
            is_answer = False
        if not is_answer:
            raise NotSupported(f"ComfyUI at {self.address} has no jobs API.")
        return True

    def delete_history(self, *prompt_ids: str) -> None:
        self._post("history", {"delete": list(prompt_ids)})

    def delete_queued(self, prompt_id: str) -> None:
        """Takes a pending prompt out of the queue, without an event; a running one stays."""
        self._post("queue", {"delete": [prompt_id]})

    def interrupt(self, prompt_id: str) -> None:
        """Asks a running prompt to stop, which may take a while or come too late.

        Servers before 0.3.57 stop whatever runs: check `SystemStats.has_targeted_interrupt`. ValueError: an
        empty id, which every server takes for all prompts.
        """
        if not prompt_id:
            raise ValueError("An interrupt without a prompt id would stop somebody else's prompt.")
        self._post("interrupt", {"prompt_id": prompt_id})

    # The server

    def object_info(self) -> dict[str, object]:
        """Node class -> its description (megabytes; see `object_info.read_node_spec`)."""
        return self._read("object_info", _mapping)

    def system_stats(self) -> SystemStats:
        return self._read("system_stats", read_system_stats)

    def features(self) -> dict[str, object]:
        """The server's feature flags; {} from servers before 0.3.45, which have none."""
        try:
            return self._read("features", _mapping)
        except Unavailable as error:
            if error.status == httpx.codes.NOT_FOUND:
                return {}
            raise

    def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """Asks the server to unload models, and with `free_memory` to forget cached results, when it is next
        idle.
        """
        self._post("free", {"unload_models": unload_models, "free_memory": free_memory})

    # Files

    def upload_image(self, name: str, fileobj: BinaryIO, *, subfolder: str = "", overwrite: bool = True) -> str:
        """Stores a file of any kind in the server's input folder, streaming it.

        Returns the value to give to a LoadImage-like input. Raises Rejected when the server does not want the
        file.
        """
        data = {"type": "input", "subfolder": subfolder, "overwrite": "true" if overwrite else "false"}
        files = {"image": (name, fileobj, "application/octet-stream")}
        request = self._http.build_request("POST", "upload/image", data=data, files=files)
        response = self._checked(self._transmit(request))
        stored = self._understood(response, _mapping)
        stored_name, folder = stored.get("name"), stored.get("subfolder")
        if not isinstance(stored_name, str) or not stored_name:
            raise ProtocolError(f"ComfyUI at {self.address} stored the upload {name} and did not say under which name.")
        return f"{folder}/{stored_name}" if isinstance(folder, str) and folder else stored_name

    @contextmanager
    def view(self, file: FileRef, *, silent_seconds: float | None = None) -> Iterator[ViewStream]:
        """Downloads a file in constant memory. Raises NotFound when the server does not have it any more.

        `silent_seconds`: how long the server may send nothing, if not as long as in every request.
        """
        # Compressed, the content length would not be that of the file.
        headers = {"Accept-Encoding": "identity"}
        timeout = self._http.timeout if silent_seconds is None else httpx.Timeout(silent_seconds)
        request = self._http.build_request("GET", "view", params=_view_params(file), headers=headers, timeout=timeout)
        response = self._transmit(request, stream=True)
        try:
            self._check_view(response, file)
            length = response.headers.get("content-length", "")
            yield ViewStream(
                content_length=int(length) if length.isascii() and length.isdigit() and len(length) <= 18 else None,
                content_type=response.headers.get("content-type", "application/octet-stream"),
                iter_bytes=lambda chunk: self._chunks(response, chunk),
            )
        finally:
            response.close()

    def _check_view(self, response: httpx.Response, file: FileRef) -> None:
        if response.is_success:
            return
        is_outside = file.subfolder.startswith(("/", "\\")) or ".." in file.subfolder or ":" in file.subfolder
        if response.status_code in {400, 404} or (response.status_code == 403 and is_outside):
            raise NotFound(f"ComfyUI at {self.address} has no {file.type} file {file.subfolder}/{file.filename}.")
        with self._translated(response.request):
            response.read()
        self._checked(response)

    def _chunks(self, response: httpx.Response, chunk: int | None) -> Iterator[bytes]:
        with self._translated(response.request):
            yield from response.iter_bytes(chunk)

    # Requests

    def _read(self, path: str, read: Callable[[object], _Answer]) -> _Answer:
        return self._understood(self._checked(self._transmit(self._http.build_request("GET", path))), read)

    def _post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json"}
        request = self._http.build_request("POST", path, content=content, headers=headers)
        return self._checked(self._transmit(request))

    def _transmit(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        with self._translated(request):
            try:
                return self._send(request, stream=stream)
            except _DROPPED:
                if request.method != "GET":
                    raise
                return self._send(request, stream=stream)

    def _send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """As httpx's client does it, less redirects and logins, which are not followed: a quarter of the time."""
        if self._http.is_closed:  # a transport would open connections that nobody closes
            raise httpx.ConnectError("The client was closed.", request=request)
        response = self._transport.handle_request(request)
        response.request = request
        if "set-cookie" in response.headers:  # of a balancer, which finds its server again by it
            self._http.cookies.extract_cookies(response)
        if not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response

    @contextmanager
    def _translated(self, request: httpx.Request) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Unavailable(
                f"ComfyUI at {self.address} {_reason(error)}.",
                is_ambiguous=request.method != "GET" and not isinstance(error, _NEVER_SENT),
            ) from error

    # Answers

    def _checked(self, response: httpx.Response) -> httpx.Response:
        """The response when it is a success. Raises Rejected or Unavailable."""
        status = response.status_code
        if response.is_success:
            return response
        if status == 413:
            raise Rejected("the request is larger than the server accepts", type="too_large")
        if status in {400, 409, 411, 415, 422, 431}:
            raise _rejection(response)
        reasons = {
            401: "wants other credentials (HTTP 401)",
            403: "refuses access (HTTP 403)",
            404: f"has no {response.request.url.path} (HTTP 404): is the address right?",
        }
        reason = reasons.get(status, f"answered HTTP {status}")
        if response.is_redirect:
            reason = f"redirects elsewhere (HTTP {status}): is the address right, and does it need credentials?"
        raise self._unavailable(response, reason, is_ambiguous=status >= 500)

    def _understood(self, response: httpx.Response, read: Callable[[object], _Answer]) -> _Answer:
        """Reads the JSON of a success. Raises Unavailable for a page of HTML, ProtocolError for other
        nonsense.
        """
        if "html" in response.headers.get("content-type", ""):
            raise self._unavailable(response, "answered with a web page: is a login in front of it?")
        return read(_json(response))

    def _unavailable(self, response: httpx.Response, reason: str, *, is_ambiguous: bool = False) -> Unavailable:
        return Unavailable(
            f"ComfyUI at {self.address} {reason.rstrip('.')}.",
            is_ambiguous=is_ambiguous and response.request.method != "GET",
            status=response.status_code,
        )


def _complete(graph: Graph) -> Graph:
    """The graph with `inputs` at every node: without them, a node can kill the server's only worker."""
    for node_id, node in graph.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise ValueError(f"Node {node_id} is not a node: it has no class_type.")
        if not isinstance(node.get("inputs", {}), dict):
            raise ValueError(f"The inputs of node {node_id} are not an object.")
    return {node_id: {"inputs": {}, **node} for node_id, node in graph.items()}


def _view_params(file: FileRef) -> dict[str, str]:
    return {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}


def _json(response: httpx.Response) -> object:
    return decode(response.content.decode("utf-8", errors="replace"))


def _mapping(data: object) -> dict[str, object]:
    if not isinstance(data, dict):
        raise ProtocolError(f"ComfyUI sent something that is not an object: {str(data)[:80]!r}.")
    return data


def _rejection(response: httpx.Response) -> Rejected:
    try:
        return read_rejection(_json(response))
    except ProtocolError:
        text = "" if "html" in response.headers.get("content-type", "") else response.text.strip()[:200]
        return Rejected(text or f"it gave no reason (HTTP {response.status_code})")


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        is_connecting = isinstance(error, _NEVER_SENT)
        return "cannot be reached: the connection timed out" if is_connecting else "did not answer in time"
    if isinstance(error, _NEVER_SENT):
        return "cannot be reached"
    return "broke off the connection"
