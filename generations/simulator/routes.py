"""ComfyUI's routes, each also under /api, and the simulator's own under /simulator."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from generations.simulator.files import TROUBLE
from generations.simulator.object_info import describe
from generations.simulator.prompt_queue import Item
from generations.simulator.sockets import MAX_UPLOAD_BYTES, SERVER_FLAGS
from generations.simulator.state import State
from generations.simulator.validation import Validator, Verdict, error

MODEL_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes",
    "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
GIB = 1024**3

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Routes: TypeAlias = list[tuple[str, str, Handler]]


def application(state: State) -> web.Application:
    """All that a server of that version answers to."""
    middlewares = [_check_origin, _plain_errors]
    if state.profile.refuses_cross_site:
        middlewares.insert(0, _check_site)
    app = web.Application(client_max_size=MAX_UPLOAD_BYTES, middlewares=middlewares)
    handlers = _Handlers(state)
    twice = [(method, f"{prefix}{path}", each) for method, path, each in handlers.comfyui() for prefix in ("", "/api")]
    for method, path, handler in [*twice, *handlers.jobs(), *handlers.own()]:
        if method == "GET":
            app.router.add_get(path, handler)  # answers HEAD as well
        else:
            app.router.add_post(path, handler)
    app.router.add_get("/{anything:.*}", _not_found)  # where ComfyUI has its pages
    return app


class _Handlers:
    def __init__(self, state: State) -> None:
        self._state = state

    def comfyui(self) -> _Routes:
        """Those of every version; each is also under /api."""
        return [
            ("GET", "/ws", self._ws),
            ("GET", "/prompt", self._get_prompt),
            ("POST", "/prompt", self._post_prompt),
            ("GET", "/queue", self._get_queue),
            ("POST", "/queue", self._post_queue),
            ("POST", "/interrupt", self._interrupt),
            ("POST", "/free", self._free),
            ("GET", "/history", self._histories),
            ("GET", "/history/{prompt_id}", self._history),
            ("POST", "/history", self._post_history),
            ("GET", "/view", self._state.files.view),
            ("POST", "/upload/image", self._state.files.upload_image),
            ("POST", "/upload/mask", self._state.files.upload_mask),
            ("GET", "/object_info", self._object_info),
            ("GET", "/object_info/{class_type}", self._one_object_info),
            ("GET", "/system_stats", self._system_stats),
            ("GET", "/features", self._features),
            ("GET", "/models", self._models),
            ("GET", "/models/{folder}", self._models_in),
            ("GET", "/embeddings", self._embeddings),
        ]

    def jobs(self) -> _Routes:
        """Those of newer versions, under /api alone."""
        found: _Routes = []
        if self._state.profile.has_jobs:
            found += [("GET", "/api/jobs", self._jobs), ("GET", "/api/jobs/{prompt_id}", self._job)]
        if self._state.profile.has_job_cancel:
            found.append(("POST", "/api/jobs/{prompt_id}/cancel", self._cancel_job))
        return found

    def own(self) -> _Routes:
        """The simulator's."""
        return [
            ("GET", "/simulator/faults", self._get_faults),
            ("POST", "/simulator/faults", self._post_faults),
            ("POST", "/simulator/restart", self._post_restart),
        ]

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await self._state.sockets.handle(
            request, queue_remaining=self._state.queue.remaining, active_node=self._state.worker.active_node
        )

    async def _get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self._state.queue.remaining()}})

    async def _post_prompt(self, request: web.Request) -> web.Response:
        if self._state.faults.take("refuse_prompts"):
            return web.Response(status=503, text="Service Unavailable")
        if self._state.faults.take("close_prompts") and request.transport is not None:
            request.transport.abort()
            return web.Response()
        body = await request.json()
        # Bodies that are not objects take the same way as in ComfyUI: to a 400 or, by an exception, to a 500.
        number = float(body["number"]) if "number" in body else self._state.queue.next_number(front=_is_front(body))
        if "prompt" not in body:
            return _refuse(error("no_prompt", "No prompt provided", "No prompt provided"), {})
        prompt_id = self._prompt_id(body)
        if self._state.profile.wants_canonical_ids and not _is_canonical(prompt_id):
            message = "prompt_id must be a UUID in its canonical form"
            return _refuse(error("invalid_prompt_id", message, prompt_id), {})
        verdict = self._judge(body)
        extra_data = self._extra_data(body)
        if verdict.error is not None:
            return _refuse(verdict.error, verdict.node_errors)
        self._state.queue.put(Item(number, prompt_id, body["prompt"], extra_data, verdict.outputs))
        if self._state.faults.take("post_timeout"):
            await asyncio.Event().wait()  # until the client gives up
        await asyncio.sleep(self._state.faults.events_before_reply)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    def _prompt_id(self, body: Any) -> str:
        own = uuid.uuid4()
        return str(body.get("prompt_id", own) if self._state.profile.honours_prompt_ids else own)

    def _judge(self, body: Any) -> Verdict:
        validator = Validator(
            self._state.registry,
            self._state.environment,
            body["prompt"],
            names_missing_node_type=self._state.profile.names_missing_node_type,
            checks_every_combo=self._state.profile.checks_every_combo,
        )
        return validator.run(body.get("partial_execution_targets"))

    def _extra_data(self, body: Any) -> Any:
        found = body.get("extra_data", {})
        if "client_id" in body:
            found["client_id"] = body["client_id"]
        if self._state.profile.adds_create_time:
            found["create_time"] = int(time.time() * 1000)
        return found

    async def _get_queue(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.queue.wire(shows_secrets=self._state.profile.shows_secrets))

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self._state.queue.clear()
        for prompt_id in body.get("delete", []):
            self._state.queue.delete(prompt_id)
        return web.Response()

    async def _interrupt(self, request: web.Request) -> web.Response:
        try:
            prompt_id = (await request.json()).get("prompt_id")
        except json.JSONDecodeError:
            prompt_id = None
        # An empty id counts as none: whatever runs is stopped. So it is on servers that do not look at the id.
        if not prompt_id or not self._state.profile.has_targeted_interrupt or self._state.queue.is_running(prompt_id):
            self._state.worker.interrupt()
        return web.Response()

    async def _jobs(self, request: web.Request) -> web.Response:
        wanted = set(request.query["status"].split(",")) if "status" in request.query else None
        jobs = [job for job in self._state.queue.jobs() if wanted is None or job["status"] in wanted]
        limit, offset = int(request.query.get("limit", str(len(jobs)))), int(request.query.get("offset", "0"))
        page = jobs[offset : offset + limit]
        details = ("outputs", "execution_status", "workflow")
        shown = [{key: value for key, value in job.items() if key not in details} for job in page]
        pagination = {
            "offset": offset, "limit": limit, "total": len(jobs), "has_more": offset + len(page) < len(jobs),
        }  # fmt: skip
        return web.json_response({"jobs": shown, "pagination": pagination})

    async def _job(self, request: web.Request) -> web.Response:
        job = self._state.queue.job(request.match_info["prompt_id"])
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)

    async def _cancel_job(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        job = self._state.queue.job(prompt_id)
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        if job["status"] == "pending":
            self._state.queue.delete(prompt_id)
        elif job["status"] == "in_progress" and self._state.queue.is_running(prompt_id):
            self._state.worker.interrupt()
        return web.json_response({"cancelled": job["status"] in {"pending", "in_progress"}})

    async def _free(self, request: web.Request) -> web.Response:
        if (await request.json()).get("free_memory"):
            self._state.worker.forget()
        return web.Response()

    async def _histories(self, request: web.Request) -> web.Response:
        limit = request.query.get("max_items")
        found = self._state.queue.histories(
            max_items=int(limit) if limit is not None else None, offset=int(request.query.get("offset", "-1"))
        )
        return web.json_response(found)

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.queue.history(request.match_info["prompt_id"]))

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self._state.queue.clear_history()
        for prompt_id in body.get("delete", []):
            self._state.queue.delete_history(prompt_id)
        return web.Response()

    async def _object_info(self, request: web.Request) -> web.Response:
        if self._state.faults.object_info_error:
            raise web.HTTPInternalServerError(text=TROUBLE)
        if self._state.faults.slow_object_info:
            await asyncio.sleep(self._state.faults.slow_object_info)
        return web.json_response(
            {name: describe(name, node, self._state.environment) for name, node in self._state.registry.items()}
        )

    async def _one_object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["class_type"]
        found = (
            {name: describe(name, self._state.registry[name], self._state.environment)}
            if name in self._state.registry
            else {}
        )
        return web.json_response(found)

    async def _system_stats(self, request: web.Request) -> web.Response:
        system = {
            "os": "posix",
            "ram_total": 16 * GIB,
            "ram_free": 8 * GIB,
            "comfyui_version": self._state.profile.version,
            "required_frontend_version": "1.27.10",
            "installed_templates_version": "0.1.95",
            "required_templates_version": "0.1.95",
            "python_version": sys.version,
            "pytorch_version": "none: this is a simulator",
            "embedded_python": False,
            "argv": ["main.py"],
        }
        device = {
            "name": f"cpu ({platform.machine()})",
            "type": "cpu",
            "index": None,
            "vram_total": 16 * GIB,
            "vram_free": 8 * GIB,
            "torch_vram_total": 16 * GIB,
            "torch_vram_free": 8 * GIB,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def _features(self, request: web.Request) -> web.Response:
        if not self._state.profile.has_feature_flags:
            raise web.HTTPNotFound
        return web.json_response(SERVER_FLAGS)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(list(MODEL_FOLDERS))

    async def _models_in(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in MODEL_FOLDERS:
            raise web.HTTPNotFound
        return web.json_response(self._state.environment.models.get(folder, []))

    async def _embeddings(self, request: web.Request) -> web.Response:
        return web.json_response([])

    # ------------------------------------------------------------------------------------- the simulator's own
    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._state.faults.state())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            self._state.faults.set(**await request.json())
        except TypeError as problem:
            raise web.HTTPBadRequest(text=str(problem)) from problem
        return await self._get_faults(request)

    async def _post_restart(self, request: web.Request) -> web.Response:
        self._state.restart()
        return web.Response()


def _is_front(body: Any) -> bool:
    return "front" in body and bool(body["front"])


async def _not_found(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


def _refuse(problem: dict[str, Any], node_errors: dict[str, Any]) -> web.Response:
    return web.json_response({"error": problem, "node_errors": node_errors}, status=400)


@web.middleware
async def _check_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser's page of another origin may not talk to a server on loopback (server.py, origin middleware)."""
    if request.method == "OPTIONS":
        return web.Response()
    host, origin = request.headers.get("Host"), request.headers.get("Origin")
    if host and origin and urlsplit(f"//{host}").hostname in LOOPBACK:
        theirs, ours = urlsplit(origin), urlsplit(f"//{host}")
        ports_differ = theirs.port is not None and ours.port is not None and theirs.port != ours.port
        if theirs.hostname and (theirs.hostname != ours.hostname or ports_differ):
            return web.Response(status=403)
    return await handler(request)


@web.middleware
async def _check_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A browser says by itself when a page of another site asks."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    return await handler(request)


def _is_canonical(prompt_id: str) -> bool:
    try:
        return str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


@web.middleware
async def _plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong in a handler is a 500 in plain text, as with aiohttp's own."""
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as problem:
        if isinstance(problem, ConnectionError):
            raise
        response = web.Response(status=500, text=TROUBLE)
        response.force_close()
        return response
