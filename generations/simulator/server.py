"""The server: ComfyUI's routes, each also under /api, and the simulator's own under /simulator."""

from __future__ import annotations

import asyncio
import json
import math
import platform
import shutil
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from generations.simulator.announcer import Announcer
from generations.simulator.execution import Worker
from generations.simulator.faults import Faults
from generations.simulator.files import TROUBLE, Files
from generations.simulator.installation import Installation
from generations.simulator.nodes import REGISTRY
from generations.simulator.nodes.base import Environment, Node
from generations.simulator.profiles import PROFILES
from generations.simulator.prompt_queue import Item, PromptQueue
from generations.simulator.recording import Recorded, Recording
from generations.simulator.sockets import MAX_UPLOAD_BYTES, SERVER_FLAGS, Sockets
from generations.simulator.validation import Validator, error

MODELS = {
    "checkpoints": [
        "dreamshaper_8.safetensors",
        "sd_xl_base_1.0.safetensors",
        "v1-5-pruned-emaonly-fp16.safetensors",
        "v1-5-pruned-emaonly.safetensors",
    ],
    "loras": ["more_detail.safetensors", "watercolor.safetensors"],
    "upscale_models": ["RealESRGAN_x4plus.pth"],
}
MODEL_FOLDERS = (
    "checkpoints", "configs", "loras", "vae", "text_encoders", "diffusion_models", "clip_vision", "style_models",
    "embeddings", "diffusers", "vae_approx", "controlnet", "gligen", "upscale_models", "custom_nodes",
    "hypernetworks", "photomaker", "classifiers", "model_patches", "audio_encoders",
)  # fmt: skip
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
GIB = 1024**3

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """One server. `start` and `stop` inside an event loop; everything else from anywhere."""

    def __init__(
        self,
        *,
        data_dir: Path,
        step_seconds: float = 0.05,
        preview_method: str = "auto",
        preview_size: int = 512,
        checkpoints: tuple[str, ...] = (),
        profile: str = "0.3.64",
        job_seconds: float = 0.0,
        installation: Installation | None = None,
        recording: Recording | None = None,
    ) -> None:
        self._recording = recording
        self.profile = PROFILES[profile]
        self._usual_models = {**MODELS, "checkpoints": sorted({*MODELS["checkpoints"], *checkpoints})}
        self.environment = Environment(data_dir, {}, step_seconds, preview_method)
        self.registry: dict[str, type[Node]] = {}
        self.install(installation or Installation())
        self.sockets = Sockets(has_feature_flags=self.profile.has_feature_flags)
        self.queue = PromptQueue(self._announce_queue)
        self.faults = Faults(
            actions={
                "drop_sockets": self.sockets.drop,
                "half_open": self.sockets.mute,
                "clear_queue": self.queue.clear,
                "evict_history": self.queue.clear_history,
            }
        )
        self.worker = Worker(
            registry=self.registry,
            environment=self.environment,
            queue=self.queue,
            announcer=Announcer(self.sockets, self.faults, preview_size=preview_size, profile=self.profile),
            faults=self.faults,
            job_seconds=job_seconds,
        )
        self._files = Files(self.environment, self.faults)
        self._runner: web.AppRunner | None = None
        for folder in ("output", "input", "temp"):
            self.environment.folder(folder)

    def install(self, installation: Installation) -> None:
        """Have these nodes and models from now on. Clients see it when they ask again, as after a real restart.

        ValueError for changes to nodes that it does not have.
        """
        self.environment.models.clear()
        self.environment.models.update(self._usual_models)
        self.environment.models.update({folder: list(files) for folder, files in installation.models.items()})
        usual = self._recording.registry(self.environment) if self._recording else REGISTRY
        self.registry.clear()
        self.registry.update(installation.registry(usual))

    def _announce_queue(self) -> None:
        self.sockets.publish("status", {"status": {"exec_info": {"queue_remaining": self.queue.remaining()}}})

    async def start(self, host: str, port: int) -> int:
        """Listen. Returns the port, which the system chose if `port` is 0. OSError if it is taken."""
        self._wipe_temp()
        await self.sockets.start()
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await self.sockets.stop()
            await self._runner.cleanup()
            raise
        self.worker.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """End everything."""
        await asyncio.to_thread(self.worker.stop)
        await self.sockets.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    def restart(self) -> None:
        """What a restart of the process does: everything in memory is gone, files stay, clients are cut off."""
        self.queue.restart()
        self.worker.forget()
        self._wipe_temp()
        self.sockets.drop()

    def _wipe_temp(self) -> None:
        shutil.rmtree(self.environment.folder("temp"), ignore_errors=True)
        self.environment.folder("temp")

    # ------------------------------------------------------------------------------------- routes
    def _application(self) -> web.Application:
        middlewares = [_check_origin, _plain_errors]
        if self.profile.refuses_cross_site:
            middlewares.insert(0, _check_site)
        app = web.Application(client_max_size=MAX_UPLOAD_BYTES, middlewares=middlewares)
        routes: list[tuple[str, str, Handler]] = [
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
            ("GET", "/view", self._files.view),
            ("POST", "/upload/image", self._files.upload_image),
            ("POST", "/upload/mask", self._files.upload_mask),
            ("GET", "/object_info", self._object_info),
            ("GET", "/object_info/{class_type}", self._one_object_info),
            ("GET", "/system_stats", self._system_stats),
            ("GET", "/features", self._features),
            ("GET", "/models", self._models),
            ("GET", "/models/{folder}", self._models_in),
            ("GET", "/embeddings", self._embeddings),
        ]
        for method, path, handler in routes:
            for alias in (path, f"/api{path}"):
                if method == "GET":
                    app.router.add_get(alias, handler)  # answers HEAD as well
                else:
                    app.router.add_post(alias, handler)
        if self.profile.has_jobs:
            app.router.add_get("/api/jobs", self._jobs)
            app.router.add_get("/api/jobs/{prompt_id}", self._job)
        if self.profile.has_job_cancel:
            app.router.add_post("/api/jobs/{prompt_id}/cancel", self._cancel_job)
        app.router.add_get("/simulator/faults", self._get_faults)
        app.router.add_post("/simulator/faults", self._post_faults)
        app.router.add_post("/simulator/restart", self._post_restart)
        app.router.add_get("/{anything:.*}", _not_found)  # where ComfyUI has its pages
        return app

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await self.sockets.handle(
            request, queue_remaining=self.queue.remaining, active_node=self.worker.active_node
        )

    async def _get_prompt(self, request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self.queue.remaining()}})

    async def _post_prompt(self, request: web.Request) -> web.Response:
        if self.faults.take("refuse_prompts"):
            return web.Response(status=503, text="Service Unavailable")
        if self.faults.take("close_prompts") and request.transport is not None:
            request.transport.abort()
            return web.Response()
        body = await request.json()
        # Bodies that are no objects take the same way as in ComfyUI: to a 400 or, by an exception, to a 500.
        number = float(body["number"]) if "number" in body else self.queue.next_number(front=_is_front(body))
        if "prompt" not in body:
            return _refuse(error("no_prompt", "No prompt provided", "No prompt provided"), {})
        prompt = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()) if self.profile.honours_prompt_ids else uuid.uuid4())
        if self.profile.wants_canonical_ids and not _is_canonical(prompt_id):
            message = "prompt_id must be a UUID in its canonical form"
            return _refuse(error("invalid_prompt_id", message, prompt_id), {})
        validator = Validator(
            self.registry,
            self.environment,
            prompt,
            names_missing_node_type=self.profile.names_missing_node_type,
            checks_every_combo=self.profile.checks_every_combo,
        )
        verdict = validator.run(body.get("partial_execution_targets"))
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if self.profile.adds_create_time:
            extra_data["create_time"] = int(time.time() * 1000)
        if verdict.error is not None:
            return _refuse(verdict.error, verdict.node_errors)
        self.queue.put(Item(number, prompt_id, prompt, extra_data, verdict.outputs))
        if self.faults.take("post_timeout"):
            await asyncio.Event().wait()  # until the client gives up
        await asyncio.sleep(self.faults.events_before_reply)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def _get_queue(self, request: web.Request) -> web.Response:
        return web.json_response(self.queue.wire(shows_secrets=self.profile.shows_secrets))

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self.queue.clear()
        for prompt_id in body.get("delete", []):
            self.queue.delete(prompt_id)
        return web.Response()

    async def _interrupt(self, request: web.Request) -> web.Response:
        try:
            prompt_id = (await request.json()).get("prompt_id")
        except json.JSONDecodeError:
            prompt_id = None
        # An empty id counts as none: whatever runs is stopped. So it is on servers that do not look at the id.
        if not prompt_id or not self.profile.has_targeted_interrupt or self.queue.is_running(prompt_id):
            self.worker.interrupt()
        return web.Response()

    async def _jobs(self, request: web.Request) -> web.Response:
        wanted = set(request.query["status"].split(",")) if "status" in request.query else None
        jobs = [job for job in self.queue.jobs() if wanted is None or job["status"] in wanted]
        limit, offset = int(request.query.get("limit", str(len(jobs)))), int(request.query.get("offset", "0"))
        page = jobs[offset : offset + limit]
        details = ("outputs", "execution_status", "workflow")
        shown = [{key: value for key, value in job.items() if key not in details} for job in page]
        pagination = {
            "offset": offset, "limit": limit, "total": len(jobs), "has_more": offset + len(page) < len(jobs),
        }  # fmt: skip
        return web.json_response({"jobs": shown, "pagination": pagination})

    async def _job(self, request: web.Request) -> web.Response:
        job = self.queue.job(request.match_info["prompt_id"])
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        return web.json_response(job)

    async def _cancel_job(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        job = self.queue.job(prompt_id)
        if job is None:
            return web.json_response({"error": "Job not found"}, status=404)
        if job["status"] == "pending":
            self.queue.delete(prompt_id)
        elif job["status"] == "in_progress" and self.queue.is_running(prompt_id):
            self.worker.interrupt()
        return web.json_response({"cancelled": job["status"] in {"pending", "in_progress"}})

    async def _free(self, request: web.Request) -> web.Response:
        if (await request.json()).get("free_memory"):
            self.worker.forget()
        return web.Response()

    async def _histories(self, request: web.Request) -> web.Response:
        limit = request.query.get("max_items")
        found = self.queue.histories(
            max_items=int(limit) if limit is not None else None, offset=int(request.query.get("offset", "-1"))
        )
        return web.json_response(found)

    async def _history(self, request: web.Request) -> web.Response:
        return web.json_response(self.queue.history(request.match_info["prompt_id"]))

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self.queue.clear_history()
        for prompt_id in body.get("delete", []):
            self.queue.delete_history(prompt_id)
        return web.Response()

    async def _object_info(self, request: web.Request) -> web.Response:
        if self.faults.object_info_error:
            raise web.HTTPInternalServerError(text=TROUBLE)
        if self.faults.slow_object_info:
            await asyncio.sleep(self.faults.slow_object_info)
        return web.json_response({name: describe(name, node, self.environment) for name, node in self.registry.items()})

    async def _one_object_info(self, request: web.Request) -> web.Response:
        name = request.match_info["class_type"]
        found = {name: describe(name, self.registry[name], self.environment)} if name in self.registry else {}
        return web.json_response(found)

    async def _system_stats(self, request: web.Request) -> web.Response:
        system = {
            "os": "posix",
            "ram_total": 16 * GIB,
            "ram_free": 8 * GIB,
            "comfyui_version": self.profile.version,
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
        if not self.profile.has_feature_flags:
            raise web.HTTPNotFound
        return web.json_response(SERVER_FLAGS)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(list(MODEL_FOLDERS))

    async def _models_in(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in MODEL_FOLDERS:
            raise web.HTTPNotFound
        return web.json_response(self.environment.models.get(folder, []))

    async def _embeddings(self, request: web.Request) -> web.Response:
        return web.json_response([])

    # ------------------------------------------------------------------------------------- the simulator's own
    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self.faults.state())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            self.faults.set(**await request.json())
        except TypeError as problem:
            raise web.HTTPBadRequest(text=str(problem)) from problem
        return await self._get_faults(request)

    async def _post_restart(self, request: web.Request) -> web.Response:
        self.restart()
        return web.Response()


def describe(name: str, node: type[Node], environment: Environment) -> dict[str, Any]:
    """A class's entry of /object_info, keys in ComfyUI's order."""
    if issubclass(node, Recorded):
        return node.described(environment)
    specs = node.input_specs(environment)
    inputs: dict[str, Any] = {"required": _listed(specs["required"])}
    if specs["optional"]:
        inputs["optional"] = _listed(specs["optional"])
    if node.hidden:
        inputs["hidden"] = dict(node.hidden)
    return {
        "input": inputs,
        "input_order": {kind: list(entries) for kind, entries in inputs.items()},
        "output": list(node.returns),
        "output_is_list": [False] * len(node.returns),
        "output_name": list(node.return_names or node.returns),
        "name": name,
        "display_name": node.display_name or (None if node.is_v3 else name),
        "description": node.description,
        "python_module": node.python_module,
        "category": node.category,
        "output_node": node.is_output,
        **({"deprecated": False, "experimental": False, "api_node": False} if node.is_v3 else {}),
    }


def _listed(specs: Any) -> dict[str, Any]:
    return {name: [list(part) if isinstance(part, tuple) else part for part in spec] for name, spec in specs.items()}


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


def finite(text: str) -> float:
    """A number of the command line that is no NaN and not negative. ValueError otherwise."""
    value = float(text)
    if not math.isfinite(value) or value < 0:
        msg = f"{text} is no sensible number"
        raise ValueError(msg)
    return value
