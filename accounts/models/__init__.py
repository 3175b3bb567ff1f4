"""People and the workspaces they belong to, plans, and the API keys they call the API with."""

from accounts.models.api_key import (
    ALL_SCOPES,
    KEY_PREFIX,
    LAST_USED_RESOLUTION,
    MAX_KEYS,
    USUAL_SCOPES,
    ApiKey,
    ApiKeyQuerySet,
    KeyRefusedError,
    Scope,
    TooManyKeysError,
    all_scopes,
)
from accounts.models.audit import AppendOnlyError, AuditEntry
from accounts.models.avatar import Avatar, AvatarQuerySet
from accounts.models.invitation import Invitation, InvitationQuerySet
from accounts.models.outgoing_mail import OutgoingMail
from accounts.models.plan import Plan
from accounts.models.setback import Setback
from accounts.models.user import (
    SuspendedError,
    User,
    UserManager,
    access_changed,
    access_revoked,
    access_suspended,
    membership_ended,
    usage_asked,
    workspace_closed,
    workspace_emptying,
)
from accounts.models.workspace import (
    InWorkspace,
    Membership,
    MembershipQuerySet,
    Role,
    Workspace,
    WorkspaceQuerySet,
    WorkspaceRows,
)

__all__ = [
    "ALL_SCOPES",
    "KEY_PREFIX",
    "LAST_USED_RESOLUTION",
    "MAX_KEYS",
    "USUAL_SCOPES",
    "ApiKey",
    "ApiKeyQuerySet",
    "AppendOnlyError",
    "AuditEntry",
    "Avatar",
    "AvatarQuerySet",
    "InWorkspace",
    "Invitation",
    "InvitationQuerySet",
    "KeyRefusedError",
    "Membership",
    "MembershipQuerySet",
    "OutgoingMail",
    "Plan",
    "Role",
    "Scope",
    "Setback",
    "SuspendedError",
    "TooManyKeysError",
    "User",
    "UserManager",
    "Workspace",
    "WorkspaceQuerySet",
    "WorkspaceRows",
    "access_changed",
    "access_revoked",
    "access_suspended",
    "all_scopes",
    "membership_ended",
    "usage_asked",
    "workspace_closed",
    "workspace_emptying",
]
