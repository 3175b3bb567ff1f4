"""In which workspace a request works: its API key's, the one that a header or a form names, or the one chosen in the
page.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, cast

from django.contrib.sessions.backends.base import SessionBase
from django.http import Http404, HttpRequest

from accounts.access import Sender, user_of
from accounts.models import ApiKey, InWorkspace, Membership, User, Workspace
from accounts.workspaces import DissolvingError, NotAllowedError, NotAMemberError

HEADER = "X-Comfy-Workspace-ID"
IN_SESSION = "workspace"
IN_FORM = "_workspace"  # a hidden field: `_workspace_field.html`
_FOUND = "_comfysaas_memberships"


def workspace_of(request: HttpRequest) -> Workspace:
    """The workspace that a signed-in person works in. At most one statement a request; none with a key.

    NotAMemberError: the header names none of this person's. NotAllowedError: the key is for another one.
    DissolvingError: the header names a team that is closed.
    """
    key: ApiKey | None = getattr(request, "api_key", None)
    if key is None:
        return membership_of(request).workspace
    workspace = workspace_of_key(key)
    wanted = request.headers.get(HEADER)
    if wanted is not None and _uuid(wanted) != workspace.public_id:
        msg = f"This key works in another workspace than the one that {HEADER} names."
        raise NotAllowedError(msg)
    return workspace


def membership_of(request: HttpRequest) -> Membership:
    """The person's membership of `workspace_of`, with its workspace. As that, but one statement with a key."""
    if getattr(request, "api_key", None) is not None:
        workspace = workspace_of(request)
        found = Membership.objects.of(user_of(request)).filter(workspace=workspace).first()
        if found is None:
            raise NotAMemberError
        found.workspace = workspace
        return found
    wanted = request.headers.get(HEADER)
    if wanted is None:
        return session_membership(request)
    mine, public_id = memberships_of(request), _uuid(wanted)
    named = next((each for each in mine if each.workspace.public_id == public_id), None)
    if named is None:
        theirs = Workspace.objects.for_member(user_of(request))  # those that are closed, too
        is_closed = public_id is not None and theirs.filter(public_id=public_id).exists()
        raise DissolvingError if is_closed else NotAMemberError
    return named


def session_membership(request: HttpRequest) -> Membership:
    """The person's membership of the workspace that they chose in this session, whatever else the request says."""
    return _chosen(memberships_of(request), request.session)


def chosen_membership(request: HttpRequest) -> Membership:
    """The person's membership of the workspace of a form that was sent, or that they chose in this session. For pages.

    Forms name the workspace that their page showed: somebody may have switched in another window since. Http404 for a
    form of a workspace that is none of this person's any more: what was meant for one must not get into another.
    """
    found = _of_form(request)
    if found is None:
        raise Http404
    return found


def shown_membership(request: HttpRequest) -> Membership:
    """As `chosen_membership`, for the page itself: the one chosen in this session where the form's is gone."""
    return _of_form(request) or session_membership(request)


def _of_form(request: HttpRequest) -> Membership | None:
    """The membership that the form names; the chosen one where it names none; None where it names nobody's."""
    named = request.POST.get(IN_FORM) if request.method == "POST" else None
    if named is None:
        return session_membership(request)
    return next((each for each in memberships_of(request) if each.workspace.public_id == _uuid(named)), None)


def chosen_in(session: SessionBase | Mapping[str, Any], user: User) -> Membership:
    """As `chosen_membership`, for sockets, which have no request."""
    return _chosen(_read(user), session)


def workspace_of_sender(sender: Sender) -> Workspace:
    """Where whoever sends a request works that nobody has read yet."""
    if sender.key is not None:
        return workspace_of_key(sender.key)
    return chosen_in(sender.session or {}, sender.user).workspace


def _chosen(mine: list[Membership], session: SessionBase | Mapping[str, Any]) -> Membership:
    chosen = session.get(IN_SESSION)
    # Whoever left the team that was chosen is back in their own workspace, which every list begins with.
    return next((each for each in mine if str(each.workspace.public_id) == chosen), mine[0])


def chosen_workspace(request: HttpRequest) -> Workspace:
    """The one that pages work in: see `chosen_membership`."""
    return chosen_membership(request).workspace


def memberships_of(request: HttpRequest) -> list[Membership]:
    """All this person's workspaces that are open, their own first, then by name. One statement, once a request."""
    found: list[Membership] | None = getattr(request, _FOUND, None)
    if found is None:
        found = _read(user_of(request))
        setattr(request, _FOUND, found)
    return found


def may_change(request: HttpRequest, row: InWorkspace) -> bool:
    """Members change and delete what they made, admins what anybody made in the workspace."""
    if row.user_id == request.user.pk:
        return True
    mine = Membership.objects.of(request.user).filter(workspace=row.workspace_id).first()
    return mine is not None and mine.is_admin


def ensure_may_change(request: HttpRequest, row: InWorkspace) -> None:
    """NotAllowedError for whoever may not, which names the person to ask."""
    if not may_change(request, row):
        msg = f"{row.user.shown_name} made this: ask them, or an admin of the workspace."
        raise NotAllowedError(msg)


def choose(request: HttpRequest, workspace: Workspace) -> None:
    """Work in this workspace from now on, in this session."""
    request.session[IN_SESSION] = str(workspace.public_id)
    cast("Any", request.session).modified = True


def _read(user: User) -> list[Membership]:
    rows = Membership.objects.of(user).filter(workspace__dissolve_after=None)
    found = list(rows.select_related("workspace", "workspace__plan"))
    if not any(each.workspace.is_personal for each in found):
        Workspace.objects.personal_of(user)  # of a user whom the release before this one made
        found = list(rows.select_related("workspace", "workspace__plan"))
    return sorted(found, key=lambda each: (not each.workspace.is_personal, each.workspace.name.casefold(), each.pk))


def workspace_of_key(key: ApiKey) -> Workspace:
    """Where this key works."""
    if key.workspace is None:  # made by the release before this one
        key.workspace = Workspace.objects.personal_of(key.user)
    return key.workspace


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
