"""Every operation of the OpenAPI document, asked in many ways by schemathesis: no 5xx, all answers as documented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts import invitations
from accounts.models import ApiKey, Plan, Role
from generations.api.openapi import document, static_document
from generations.models import Status
from tests.support.factories import (
    make_asset,
    make_generation,
    make_output,
    make_server,
    make_team,
    make_template,
    make_user,
    own,
)

SECRET_WORDS = "what only the stranger may read"
OPERATIONS = sorted((method, path) for path, item in static_document()["paths"].items() for method in item)
OPERATIONS.append(("post", "/api/v2/templates/text-to-image/jobs"))  # as the document has it for whoever may run it
EXAMPLES = 12
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture
def world(db: None) -> Iterator[dict[str, Any]]:
    """Two users with one of everything; the first is staff who may do all that the API lets anybody do."""
    plan = Plan.objects.create(name="tested", requests_per_minute=0, max_queued=100_000)
    owner = make_user("owner@example.com", is_staff=True, is_superuser=True, plan=plan)
    stranger = make_user("stranger@example.com", plan=plan)
    make_template("text-to-image", tags=["one"])
    make_server(is_enabled=False)
    ids: dict[str, Any] = {}
    for user in (stranger, owner):
        prompt = SECRET_WORDS if user == stranger else "a fox"
        done = make_generation(user, status=Status.SUCCEEDED, inputs={"prompt": prompt})
        make_output(done, value=prompt)
        asset = make_asset(user, name=f"{prompt}.png")
        hook = user.webhooks.create(url=f"https://example.com/{prompt.replace(' ', '-')}", is_enabled=False)
        delivery = hook.deliveries.create(event="job.failed", payload={"data": prompt})
        key = ApiKey.objects.issue(user=user, name=prompt)[0]
        ids = {"job": done.pk, "asset": asset.pk, "webhook": hook.pk, "delivery": delivery.pk, "key": key.prefix}
    secret = ApiKey.objects.issue(user=owner, name="tests")[1]
    make_team(stranger, name=SECRET_WORDS)
    team = make_team(owner, member=make_user("member@example.com"))
    invitation, _link = invitations.invite(acting=owner, workspace=team, role=Role.MEMBER)
    ids |= {
        "workspace": team.public_id,
        "member": team.memberships.get(role=Role.MEMBER).pk,
        "invitation": invitation.pk,
        "team": {"Authorization": f"Bearer {ApiKey.objects.issue(user=owner, name='tests', workspace=team)[1]}"},
    }
    # As Django's own test client does: the connection is the test's.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield {"owner": owner, "headers": {"Authorization": f"Bearer {secret}"}, **ids}
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def known_ids(world: dict[str, Any], path: str) -> dict[str, Any]:
    """Path parameters that lead to something, half of the time."""
    kind = path.removeprefix("/api/v2/").split("/")[0]
    names = {"jobs": "job", "assets": "asset", "webhooks": "webhook", "keys": "key"}
    first = (names | {"workspaces": "workspace"}).get(kind)
    return {
        "id": str(world[first]) if first else 1,
        "slug": "text-to-image",
        "delivery_id": str(world["delivery"]),
        "member_id": world["member"],
        "invitation_id": world["invitation"],
    }


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_whatever_is_sent_the_answer_is_as_documented(
    world: dict[str, Any], method: str, path: str, servers_out_of_reach: None
) -> None:
    schema = schemathesis.openapi.from_dict(document(world["owner"], own(world["owner"])))
    schema.app = WSGIHandler()
    known = known_ids(world, path)

    @given(case=schema[path][method].as_strategy(), is_known=booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Case, is_known: bool) -> None:
        if is_known:
            case.path_parameters.update({name: known[name] for name in case.path_parameters.keys() & known.keys()})
        response = case.call(headers=world["team" if path.startswith("/api/v2/workspaces/{id}") else "headers"])
        # There is no event stream without an ASGI server, which the contract allows for.
        checks = CHECKS[1:] if response.status_code == 501 else CHECKS
        case.validate_response(response, checks=checks)
        assert SECRET_WORDS.encode() not in response.content

    run()
