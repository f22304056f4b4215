"""Plans: what has a place in memory and what does not."""

from __future__ import annotations

from collections import Counter

from gated.cells import library, options
from gated.cells.cell import Cell
from gated.cells.plan import Plan, accumulating
from gated.cells.plans import plans

NORMALISED = options.layer_norm(library.lstm)


def wide(plan: Plan) -> Counter[str]:
    """How many operands of the hidden units' width there are, by their bases."""
    return Counter(of.base for of in plan.operands if of.width == "H")


def test_what_follows_from_values_in_memory_gets_no_place_of_its_own() -> None:
    """The products with the input and with the hidden state alone: four gates of each."""
    assert wide(plans(NORMALISED).training)["slot"] == 8
    assert wide(plans(NORMALISED).inference)["slot"] == 8 + 1  # the output gate, which waits


def test_normalised_inputs_are_written_by_the_segment_that_reads_them() -> None:
    segments = plans(NORMALISED).training.stages[1].segments
    counts = [sum(i.operation == "normalise" for i in of.instructions) for of in segments]
    assert [count for count in counts if count] == [8, 1]


def test_one_sum_for_all_gates_that_are_normalised_together() -> None:
    training = plans(NORMALISED).training
    sums = [i for s in training.stages for of in s.segments for i in of.instructions]
    assert sum(i.operation == "sum" for i in sums) == 6  # a mean and a variance, three times


def test_gradients_of_gains_are_summed_where_they_arise() -> None:
    plan = plans(NORMALISED).backward
    assert wide(plan)["slot"] == 22
    summing = accumulating(plan)
    # Of both products' four gates; and those of the five biases, which later segments read.
    assert wide(summing)["slot"] == 8 + 5
    assert wide(summing)["grad_sum"] == 4 + 4 + 4 + 2
    assert summing.slots == plan.slots


def test_slots_that_products_read_are_summed_from_memory() -> None:
    """So a bias of the LSTM, whose gradient is that of its products."""

    def unchanged(cell: Cell) -> bool:
        return all(accumulating(plan) == plan for plan in plans(cell)[:4])

    assert unchanged(library.lstm)
    assert unchanged(library.rnn_tanh)
    assert not unchanged(NORMALISED)
