"""Bytes on their way: whole, measured and sniffed, or refused."""

from __future__ import annotations

import pytest

from generations.files import spooling


def test_a_copy_that_was_cut_off_is_refused() -> None:
    with pytest.raises(spooling.IncompleteCopyError, match="5 bytes arrived where 9 were announced"):
        spooling.spool([b"12345"], expected_bytes=9)
