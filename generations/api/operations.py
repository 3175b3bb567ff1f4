"""How operations are declared: with their scope, and with the errors that all of them can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from ninja import Header, Router

from accounts.models import Scope
from generations.api.auth import allowed
from generations.api.envelope import ErrorEnvelope

Function = TypeVar("Function", bound=Callable[..., Any])
COMMON_ERRORS = (400, 401, 403, 413, 429, 500, 503)
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x20-\x7e]{0,255}$",
        description="A text that you choose for the request, such as a UUID. Within 24 hours a second request with the "
        "same key gets 422 `idempotency_key_reuse`, unless the first one failed.",
    ),
]


def operation(
    router: Router,
    method: str,
    path: str,
    *,
    scope: Scope,
    name: str,
    summary: str,
    returns: dict[int, Any],
    errors: tuple[int, ...] = (),
    extra: dict[str, Any] | None = None,
    is_listed: bool = True,
) -> Callable[[Function], Function]:
    """Declares `method path` on the router. Keys need the scope, sessions the CSRF token."""
    responses = {**returns, **dict.fromkeys((*COMMON_ERRORS, *errors), ErrorEnvelope)}
    return router.api_operation(
        [method],
        path,
        auth=allowed(scope),
        response=responses,
        operation_id=name,
        summary=summary,
        url_name=name,
        openapi_extra={"x-scope": scope.value, **(extra or {})},
        include_in_schema=is_listed,
    )
