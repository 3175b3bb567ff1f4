"""Shapes of requests and answers, by subject. A job's own is in `generations.contract`: webhooks send it, too."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

NO_NUL = r"^[^\x00]*$"  # PostgreSQL cannot compare with it
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
