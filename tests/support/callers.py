"""The people around a team, as programs and browsers that ask for what is the team's."""

from __future__ import annotations

from django.conf import settings

from accounts import standing, workspaces
from accounts.models import ALL_SCOPES, ApiKey, Membership, Scope, User
from tests.support.matrix import Cast
from tests.support.signing_in import signed_in

# Programs: keys of the owner's for the team, but “elsewhere”, which is for their own workspace, “left-key”, which was a
# member's who was removed, and “silenced”, whose owner is suspended.
KEYS = ("bad-key", "revoked-key", "wrong-scope", "silenced", "left-key", "elsewhere", "key")
# Browsers. These have chosen the team: “left” was removed from it, “impersonator” is staff at work as its owner.
IN_TEAM = ("member", "admin", "owner", "suspended", "left", "impersonator")
CALLERS = ("anonymous", *KEYS, *IN_TEAM, "stranger", "staff")
_WHO = {"left": "member", "left-key": "member", "impersonator": "staff"}


def headers_of(caller: str, cast: Cast) -> dict[str, str]:
    """What one of CALLERS sends to show who they are. Whatever has to happen to them happens here."""
    if caller == "anonymous":
        return {}
    person: User = getattr(cast, _WHO.get(caller, caller), cast.owner)
    person = User.objects.get(pk=person.pk)
    if caller == "suspended":  # which ends sessions: as if something had signed them in again
        standing.suspend(person, by=cast.staff, reason="spam")
    headers = _key(caller, person, cast) if caller in KEYS else _session(caller, person, cast)
    if caller == "silenced":
        standing.suspend(person, by=cast.staff, reason="spam")
    if caller in {"left", "left-key"}:
        workspaces.remove_member(acting=cast.owner, member=Membership.objects.get(user=person, workspace=cast.team))
    return headers


def _key(caller: str, person: User, cast: Cast) -> dict[str, str]:
    scopes = [each for each in ALL_SCOPES if caller != "wrong-scope" or each != Scope.READ]
    workspace = None if caller == "elsewhere" else cast.team
    key, secret = ApiKey.objects.issue(user=person, name="matrix", scopes=scopes, workspace=workspace)
    if caller == "revoked-key":
        ApiKey.objects.filter(pk=key.pk).revoke()
    return {"Authorization": f"Bearer {f'{secret[:-3]}xyz' if caller == 'bad-key' else secret}"}


def _session(caller: str, person: User, cast: Cast) -> dict[str, str]:
    client = signed_in(person)
    if caller == "impersonator":
        client.post(f"/admin/accounts/user/{cast.owner.pk}/impersonate/", {"reason": "ticket"})
    if caller in IN_TEAM:
        session = client.session
        session["workspace"] = str(cast.team.public_id)
        session.save()
    name = settings.SESSION_COOKIE_NAME
    return {"Cookie": f"{name}={client.cookies[name].value}"}
