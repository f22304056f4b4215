"""Inputs that a cell takes for each step."""

from __future__ import annotations

from typing import Any

import torch

from gated.cells import Cell


def per_step_of(
    cell: Cell, T: int, B: int, *, inputs: int, units: int, **options: Any
) -> dict[str, torch.Tensor]:
    """Random ones from 0 to 1, by name: (T, B), (T, B, I) or (T, B, H)."""
    wide = {"1": (), "I": (inputs,), "H": (units,)}
    options = {"dtype": torch.float64, **options}
    return {
        name: torch.rand(T, B, *wide[width], **options)
        for name, width in cell.per_step_widths.items()
    }
