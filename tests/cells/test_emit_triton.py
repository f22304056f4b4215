"""Triton kernels as text: one for each pointwise program, and nothing in them for nothing."""

from __future__ import annotations

import ast

import pytest

from gated.cells import Cell, cell, library, norm, options, tanh
from gated.cells.emit_triton import SIZES, Kernels, is_backward, kernels
from gated.cells.plan import Plan
from gated.cells.plans import plans

CELLS = [of for of in vars(library).values() if isinstance(of, Cell)]
CHANGED = [
    options.layer_norm(library.lstm),
    options.zoneout(library.lstm, (True, True)),
    options.projected(library.lstm),
    options.resets(library.gru),
    options.recurrent_dropout(library.gru_reset_before),
]


def written(of: Cell) -> list[tuple[Plan, Kernels]]:
    return [(plan, kernels(plan)) for plan in plans(of)[:4]]


@pytest.mark.parametrize("of", [*CELLS, *CHANGED], ids=lambda of: of.name)
def test_one_kernel_for_each_program_and_every_load_is_used(of: Cell) -> None:
    for plan, made in written(of):
        functions = {f.name: f for f in ast.parse(made.text).body if isinstance(f, ast.FunctionDef)}
        assert [bool(stage.segments) for stage in plan.stages] == [
            kernel is not None for kernel in made.of_stage
        ]
        for kernel in filter(None, made.of_stage):
            function = functions.pop(kernel.name)
            assert [a.arg for a in function.args.args] == [*kernel.arrays, *SIZES]
            names = [n for n in ast.walk(function) if isinstance(n, ast.Name)]
            read = [n.id for n in names if isinstance(n.ctx, ast.Load)]
            assert {n.id for n in names if isinstance(n.ctx, ast.Store)} <= set(read)
            assert set(kernel.arrays) <= set(read)
        assert functions.keys() <= {"tanh", "softplus"}  # and what they call


def test_slots_of_one_stage_stay_in_registers() -> None:
    @cell
    def normed(x, h):
        return tanh(norm(x.n + h.n))

    plan = plans(normed).inference
    made = kernels(plan)
    assert len(made.slots) == 1 < len(plan.slots)  # the sum of products, not its mean and scale
    assert [kernel and kernel.reduces for kernel in made.of_stage] == [None, True]
    of_gru = kernels(plans(library.gru).inference).of_stage
    assert [kernel and kernel.reduces for kernel in of_gru] == [None, False]


def test_products_of_one_vector_write_side_by_side() -> None:
    plan = plans(library.gru).training
    slots = kernels(plan).slots
    for product in (*plan.before, *plan.stages[1].products):
        places = sorted(slots.index(plan.operands[target].number) for target in product.targets)
        assert places == list(range(places[0], places[0] + 3))


def test_which_plans_go_back() -> None:
    assert [is_backward(plan) for plan in plans(library.lstm)[:4]] == [False, False, True, True]
