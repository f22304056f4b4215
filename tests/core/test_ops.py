"""The door to the native core."""

from __future__ import annotations

import sys

import pytest

from gated.core import ops
from gated.errors import MissingNativeError


def test_a_missing_extension_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gated._native", None)
    ops._native.cache_clear()
    with pytest.raises(MissingNativeError, match="pip install gated"):
        ops.instruction_sets()
    monkeypatch.undo()
    assert "baseline" in ops.instruction_sets()


def test_the_instruction_set_in_use_is_one_that_the_processor_has() -> None:
    assert ops.instruction_set() in ops.instruction_sets()
