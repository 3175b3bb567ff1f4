"""Servers of different versions with different nodes and models: relays and simulators, from submission to result."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from generations.lifecycle import services
from generations.models import ComfyServer, Generation, Status, WorkflowTemplate
from generations.parameters.validate import InvalidInputs
from generations.relay import supervisor as supervisor_module
from generations.relay import timing
from generations.relay.claiming import Claimer
from generations.scheduling import catalogs, fitness
from generations.scheduling import server_check as servers_module
from generations.simulator.installation import Installation
from generations.studio import checks, drafts, importing, making
from tests.generations.conftest import FAST_SECONDS, is_connected, running_relay
from tests.support.factories import (
    CHECKPOINT,
    make_server,
    make_template,
    make_user,
    parameter,
    submit,
    txt2img_graph,
    version_of,
)
from tests.support.simulator import RunningSimulator
from tests.support.waiting import eventually
from tests.support.workflows import editor_workflow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager_tasks")]
Reaches = Callable[..., Generation]

BIG = "big.safetensors"
# What an update brought: a model of its own, an input that every sampler needs now, and fewer steps.
NEWER = Installation(
    inputs={"KSampler": {"guidance": ["FLOAT", {"default": 1.0, "min": 0.0}], "steps": ["INT", {"min": 1, "max": 30}]}},
    models={"checkpoints": [BIG, CHECKPOINT]},
)
OLDER = Installation(models={"checkpoints": [CHECKPOINT, "small.safetensors"]})


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is looked at is looked at often; catalogs are not read again just because time passes."""
    monkeypatch.setattr(timing, "TICK_SECONDS", 0.1)
    monkeypatch.setattr(timing, "PAUSE_AFTER_FAULT_SECONDS", 0.1)
    monkeypatch.setattr(supervisor_module, "RENEW_SECONDS", FAST_SECONDS)


@pytest.fixture
def fleet(transactional_db: None) -> Iterator[dict[str, RunningSimulator]]:
    """`older` and `newer` by name, with a relay each, connected and known."""
    with ExitStack() as stack:
        older = stack.enter_context(RunningSimulator(profile="0.3.64", installation=OLDER))
        newer = stack.enter_context(RunningSimulator(profile="newest", installation=NEWER))
        simulators = {"older": older, "newer": newer}
        for name, simulator in simulators.items():
            make_server(name, simulator.url, object_info=None)
        for _ in simulators:
            stack.enter_context(running_relay())
        for name in simulators:
            eventually(lambda name=name: is_connected(name), what=f"knowing {name}")
        yield simulators


def with_model_choice(slug: str = "models") -> WorkflowTemplate:
    """Users choose the checkpoint among what there is. It runs on both versions."""
    choice = parameter("model", "choice", "4", "ckpt_name", choices=[CHECKPOINT], default=CHECKPOINT, is_live=True)
    parameters = [choice, parameter("seed", "seed", "3", "seed")]
    return make_template(slug, graph=for_both(CHECKPOINT), parameters=parameters)


def for_both(checkpoint: str) -> dict[str, Any]:
    """A graph for both versions: the older one ignores what it does not know."""
    graph = txt2img_graph()
    graph["4"]["inputs"]["ckpt_name"] = checkpoint
    graph["3"]["inputs"]["guidance"] = 1.0
    return graph


def server_of(generation: Generation) -> str:
    return ComfyServer.objects.get(pk=generation.server_id).name


# ---------------------------------------------------------------------------------------------- new catalogs
@pytest.mark.parametrize("way", ["check", "restart"])
def test_a_new_model_is_used_at_once(fleet: dict[str, RunningSimulator], reaches: Reaches, way: str) -> None:
    """Somebody asks the server in the admin, or it restarts: the job that waits for the model runs."""
    template = with_model_choice()
    fleet["older"].simulator.install(Installation(models={"checkpoints": [CHECKPOINT, "new.safetensors"]}))
    with pytest.raises(InvalidInputs):
        submit(template, model="new.safetensors")
    if way == "check":
        servers_module.check(ComfyServer.objects.get(name="older"))
    else:
        fleet["older"].restart()
        eventually(lambda: "new.safetensors" in fitness.Fleet.now().current_parameters(version_of(template))[0].choices)
    done = reaches(submit(template, model="new.safetensors"), Status.SUCCEEDED)
    assert (server_of(done), done.attempt) == ("older", 1)


def test_a_job_that_waits_for_a_model_starts_when_a_server_gets_it(
    fleet: dict[str, RunningSimulator], reaches: Reaches, owner: User, client_for: Any
) -> None:
    template = with_model_choice()
    ComfyServer.objects.filter(name="older").update(is_draining=True)
    generation = submit(template, owner, model="small.safetensors")
    page = client_for(owner).get(reverse("generation", args=[generation.pk])).content.decode()
    assert "The server that can run this is about to be serviced and takes nothing new." in page
    fleet["newer"].simulator.install(Installation(models={"checkpoints": ["small.safetensors"]}))
    assert servers_module.check(ComfyServer.objects.get(name="newer"))[0]
    assert server_of(reaches(generation, Status.SUCCEEDED)) == "newer"


def test_a_job_is_told_why_it_waits_by_the_api_too(
    fleet: dict[str, RunningSimulator], reaches: Reaches, owner: User, client_for: Any
) -> None:
    template = with_model_choice()
    ComfyServer.objects.filter(name="newer").update(is_enabled=False)
    with pytest.raises(services.CannotRunError, match="The only server that can run this is switched off"):
        services.submit(
            user=owner, version=version_of(make_template("fixed", graph=for_both(BIG), parameters=[])), inputs={}
        )
    ComfyServer.objects.filter(name="newer").update(is_enabled=True, is_draining=True)
    generation = submit(template, owner, model=BIG)
    job = client_for(owner).get(f"/api/v2/jobs/{generation.pk}").json()
    assert "is about to be serviced" in job["message"]
    ComfyServer.objects.filter(name="newer").update(is_draining=False)
    assert server_of(reaches(generation, Status.SUCCEEDED)) == "newer"


# ---------------------------------------------------------------------------------------------- who has what
def test_models_that_only_one_server_has_are_offered_and_found(
    fleet: dict[str, RunningSimulator], reaches: Reaches, owner: User, client_for: Any
) -> None:
    fleet["newer"].simulator.install(Installation(models={"checkpoints": [BIG]}))
    servers_module.check(ComfyServer.objects.get(name="newer"))
    template = with_model_choice()
    current = fitness.Fleet.now().current_parameters(version_of(template))[0]
    assert (current.choices, current.default) == ((BIG, "small.safetensors", CHECKPOINT), CHECKPOINT)
    for model, name in ((BIG, "newer"), ("small.safetensors", "older"), (CHECKPOINT, "older")):
        assert server_of(reaches(submit(template, model=model), Status.SUCCEEDED)) == name
    owner.is_superuser = True
    owner.save()
    for model, name in ((BIG, "newer"), ("small.safetensors", "older")):
        body = {"workflow": for_both(model)}
        job = client_for(owner).post("/api/v2/jobs", body, content_type="application/json")
        assert job.status_code == 201, job.content
        generation = Generation.objects.get(pk=job.json()["id"])
        assert server_of(reaches(generation, Status.SUCCEEDED)) == name


# ---------------------------------------------------------------------------------------------- versions
def test_jobs_that_lack_a_newly_required_input_run_where_it_is_not_required(
    fleet: dict[str, RunningSimulator], reaches: Reaches
) -> None:
    template = make_template()
    jobs = [submit(template, prompt="a cat", seed=number) for number in range(8)]
    done = [reaches(job, Status.SUCCEEDED, Status.FAILED) for job in jobs]
    assert [(job.status, job.attempt, server_of(job)) for job in done] == [(Status.SUCCEEDED, 1, "older")] * 8


def test_numbers_beyond_one_servers_range_run_on_the_other(
    fleet: dict[str, RunningSimulator], reaches: Reaches
) -> None:
    steps = parameter("steps", "integer", "3", "steps", default=4, minimum=1, maximum=50)
    template = make_template(graph=for_both(CHECKPOINT), parameters=[steps, parameter("seed", "seed", "3", "seed")])
    for number in range(4):
        done = reaches(submit(template, steps=40, seed=number), Status.SUCCEEDED, Status.FAILED)
        assert (done.status, done.attempt, server_of(done)) == (Status.SUCCEEDED, 1, "older")


def test_the_studio_says_which_server_needs_which_input(
    fleet: dict[str, RunningSimulator], staff: User, client_for: Any
) -> None:
    imported = importing.read(json.dumps(editor_workflow()).encode(), catalogs.known_nodes())
    assert imported.graph["3"]["inputs"]["guidance"] == 1.0  # as the editor does with what is new in a class
    _made, notes = making.create(staff, imported, object_info=catalogs.known_nodes())
    assert notes == ["KSampler (node 3), input “guidance”: Only newer has this input; older runs without it."]
    template = make_template(publish=False)
    browser: Client = client_for(staff)
    page = browser.get(reverse("admin:template_studio", args=[template.pk])).content.decode()
    assert "newer requires the input “guidance”, which this workflow does not set." in page
    reports = {each.server: each for each in checks.fitness_of(drafts.draft_of(template))}
    assert reports["older"].is_fit
    assert reports["newer"].missing == ["support for KSampler without its input “guidance”"]


# ---------------------------------------------------------------------------------------------- sharing work
def test_two_jobs_go_to_two_idle_servers(fleet: dict[str, RunningSimulator], reaches: Reaches) -> None:
    _make_alike(fleet)
    template = make_template()
    user = make_user()
    for turn in range(6):
        pair = [submit(template, user, prompt="a cat", seed=2 * turn + number, steps=3) for number in range(2)]
        done = [reaches(job, Status.SUCCEEDED) for job in pair]
        assert {server_of(job) for job in done} == {"older", "newer"}


def test_one_job_at_a_time_goes_where_its_models_are(fleet: dict[str, RunningSimulator], reaches: Reaches) -> None:
    _make_alike(fleet)
    template = with_model_choice()
    ran = set()
    for turn in range(8):
        model = (CHECKPOINT, "dreamshaper_8.safetensors")[turn % 2]
        ran.add((model, server_of(reaches(submit(template, model=model), Status.SUCCEEDED))))
    assert len(ran) == 2
    assert {server for _model, server in ran} == {"older", "newer"}


def test_work_is_not_left_lying_for_a_server_that_does_not_take_it(
    fleet: dict[str, RunningSimulator], reaches: Reaches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The idle one counts as online, and its agent is not there: after a moment the busy one has both."""
    _make_alike(fleet)
    real = Claimer._may_claim
    monkeypatch.setattr(Claimer, "_may_claim", lambda self: self.session.server.name == "older" and real(self))
    template, user = make_template(), make_user()
    fleet["older"].simulator.environment.step_seconds = 0.2
    pair = [submit(template, user, prompt="a cat", seed=number, steps=20) for number in range(2)]
    for job in pair:
        assert server_of(reaches(job, Status.SUBMITTED, Status.RUNNING, Status.SUCCEEDED)) == "older"


def _make_alike(fleet: dict[str, RunningSimulator]) -> None:
    for name, simulator in fleet.items():
        simulator.simulator.install(Installation())
        simulator.simulator.environment.step_seconds = 0.05
        servers_module.check(ComfyServer.objects.get(name=name))


# ---------------------------------------------------------------------------------------------- first contact
def test_what_was_never_reached_is_unavailable_and_heals_by_itself(
    transactional_db: None, reaches: Reaches, owner: User, client_for: Any
) -> None:
    template = with_model_choice()
    with RunningSimulator(installation=OLDER) as simulator:
        make_server("late", simulator.url, object_info=None)
        browser: Client = client_for(owner)
        about = browser.get(f"/api/v2/templates/{template.slug}").json()
        assert (about["is_available"], about["unavailable_reason"][:36]) == (
            False,
            "No ComfyUI server is connected yet. ",
        )
        refused = browser.post(
            f"/api/v2/templates/{template.slug}/jobs", {"inputs": {}}, content_type="application/json"
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "template_unavailable")
        assert not Generation.objects.exists()
        with running_relay():
            eventually(lambda: browser.get(f"/api/v2/templates/{template.slug}").json()["is_available"])
            reaches(submit(template, owner), Status.SUCCEEDED)
