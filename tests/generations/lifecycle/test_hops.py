"""Through how many of our files a request goes until its row is committed: what somebody reads who follows it.

Counted are the files whose functions run between the API's operation and the COMMIT that keeps the row; once before,
so that caches are warm. `comfy` and `parameters` know no database, and `statements` no model: they are read by
themselves, as libraries are, and have a number of their own. Raise a budget only for what the reader of a request has
to know.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client

import generations
from accounts.models import ApiKey, User
from generations.api import jobs, templates
from tests.support.factories import make_template

ROOT = Path(generations.__file__).parents[1]
ROOMS = ("generations/", "accounts/", "comfysaas/")
LIBRARIES = ("generations/comfy/", "generations/parameters/", "accounts/statements.py")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("known_server")]


class Hops:
    """The files that functions are called in, from `operation` (None: from the beginning) to the commit of `write`."""

    def __init__(self, operation: CodeType | None, write: str) -> None:
        self.files: list[str] = []
        self.is_committed = False
        self._operation, self._write = operation, write
        self._has_begun, self._has_written = operation is None, False

    def during(self, request: Callable[[], Any]) -> list[str]:
        """Those of this request. A single COMMIT after the write counts; whoever has it commit twice is wrong."""
        with pytest.MonkeyPatch.context() as patch:
            commit = BaseDatabaseWrapper.commit

            def noted(wrapper: BaseDatabaseWrapper) -> None:
                commit(wrapper)
                self.is_committed = self.is_committed or self._has_written

            patch.setattr(BaseDatabaseWrapper, "commit", noted)
            with connection.execute_wrapper(self._execute):
                sys.setprofile(self._called)
                try:
                    assert request().status_code in {200, 201}
                finally:
                    sys.setprofile(None)
        assert self.is_committed
        return self.files

    def _execute(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self._has_written = self._has_written or (self._has_begun and self._write in sql.replace('"', ""))
        return execute(sql, params, many, context)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or self.is_committed:
            return
        self._has_begun = self._has_begun or frame.f_code is self._operation
        path = Path(frame.f_code.co_filename)
        if self._has_begun and path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith("accounts/models/"):
                name = "accounts/models"  # small classes that are read together
            if name.startswith(ROOMS) and name not in self.files:
                self.files.append(name)


@pytest.fixture
def api(owner: User) -> Client:
    make_template()
    return Client(headers={"Authorization": f"Bearer {ApiKey.objects.issue(user=owner, name='tests')[1]}"})


def submit(api: Client) -> Any:
    body = {"inputs": {"prompt": "a cat"}}
    return api.post("/api/v2/templates/text-to-image/jobs", body, content_type="application/json")


def canceling(api: Client) -> Callable[[], Any]:
    pk = submit(api).json()["id"]
    return lambda: api.post(f"/api/v2/jobs/{pk}/cancel")


def counted(files: list[str]) -> tuple[int, int]:
    """(of the application, of its libraries)."""
    libraries = [each for each in files if each.startswith(LIBRARIES)]
    return len(files) - len(libraries), len(libraries)


@pytest.mark.parametrize(("operation", "most"), [(templates.post_job, (11, 12)), (None, (20, 12))])
def test_a_submit_by_the_api(api: Client, operation: Any, most: tuple[int, int]) -> None:
    submit(api)
    hops = Hops(operation and operation.__code__, "INSERT INTO generations_generation")
    files = hops.during(lambda: submit(api))
    assert all(number <= limit for number, limit in zip(counted(files), most, strict=True)), (
        counted(files),
        sorted(files),
    )


@pytest.mark.parametrize(("operation", "most"), [(jobs.cancel_job, (8, 0)), (None, (18, 1))])
def test_a_cancel_by_the_api(api: Client, operation: Any, most: tuple[int, int]) -> None:
    canceling(api)()
    hops = Hops(operation and operation.__code__, "UPDATE generations_generation")
    files = hops.during(canceling(api))
    assert all(number <= limit for number, limit in zip(counted(files), most, strict=True)), (
        counted(files),
        sorted(files),
    )
