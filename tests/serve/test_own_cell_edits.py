"""Numbers of cells of one's own that are changed in the page: what follows is what torch makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve.conftest import settle, wire
from tests.serve.test_own_cells import READ, UNITS, VOCABULARY, Network, peeping, saved

from gated.cells import Cell, cell, library, sigmoid, tanh
from gated.serve.character_model import load_models
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import texts

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
UNIT, FROM, STEP = 2, 4, 6

COMPUTE = """async ([name, text, edits]) => {
  const { probabilities, arrays } = await gated.reading("run", name, text, null, edits);
  const numbers = Object.entries(arrays).map(([key, of]) => [key, [...of.numbers]]);
  return [Object.fromEntries(numbers), [...text].map((_, step) => [...probabilities(step)])];
}"""


@cell(gates={"k": "forget_gate", "g": "candidate"})
def against(x: Any, h: Any) -> Any:
    """A gate that subtracts what the state says, and a candidate that sees a part of it."""
    k = sigmoid(x.k - h.k)
    return k * h + (1 - k) * tanh(x.g + k * h.g)


CELLS = [peeping, against, library.mgu, library.indrnn, library.slstm, library.lstm_peephole]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Network]]:
    """A page of networks of several cells, and the networks."""
    directory = tmp_path_factory.mktemp("cells")
    found = {of.name: saved(directory / of.name, of) for of in CELLS}
    write_page(directory / "page", [texts(load_models(directory))])
    return directory / "page", found


def page_at(opened: Callable[[str], Any], directory: Path, link: str = "") -> Any:
    page = opened((directory / "index.html").as_uri() + f"#text=dog&language=en{link}")
    settle(page)
    return page


def change(network: Network, of: Cell) -> list[str]:
    """Change the weights of all gates; return the edits that do the same."""
    rows = {matrix.name: list(matrix.gates) for matrix in of.matrices}
    layer, edits = network.recurrent, []
    for short in rows["weight_ih"]:
        if of is library.slstm and short == "f":
            continue  # which is no function of a sum: it has no parts to change
        gate = of.gate_names.get(short, short)
        here = f"{of.name}/%s/{gate}/{UNIT}"
        row = rows["weight_ih"].index(short) * UNITS + UNIT
        character = VOCABULARY.index("o")
        layer.weight_ih_l0.data[row, character] = -1.5
        edits.append(f"{here % 'input_weight'}/{character}/-1.5")
        beside = 0.0
        if short in rows.get("weight_hh", []):
            below = rows["weight_hh"].index(short) * UNITS + UNIT
            layer.weight_hh_l0.data[below, FROM] = 1.75
            edits.append(f"{here % 'weight'}/{FROM}/1.75")
            beside = float(layer.bias_hh_l0[below])
            if of is against and gate == "candidate":
                layer.bias_hh_l0.data[below], beside = -0.75, 0.0
                edits.append(f"{here % 'inner'}/-0.75")
            elif of is against:
                beside = -beside
        layer.bias_ih_l0.data[row] = 0.5 - beside
        edits.append(f"{here % 'bias'}/0.5")
    return edits


def test_changed_weights_are_computed_with(
    networks: tuple[Path, dict[str, Network]], opened: Callable[[str], Any]
) -> None:
    page = page_at(opened, networks[0])
    for of in CELLS:
        network = Network(of)
        with torch.no_grad():
            plain = network.recurrent(network.read(READ))[0][:, 0].numpy()
            edits = change(network, of)
            hidden = network.recurrent(network.read(READ))[0]
            expected = network.output(hidden)[:, 0].softmax(-1).numpy()
        assert np.abs(hidden[:, 0].numpy() - plain).max() > 1e-2
        arrays, predicted = page.evaluate(COMPUTE, [of.name, READ, ";".join(edits)])
        np.testing.assert_allclose(predicted, expected, atol=2e-5, err_msg=of.name)
        found = np.array(arrays[of.state_names[0]])
        np.testing.assert_allclose(found, hidden[:, 0].numpy().ravel(), atol=5e-5, err_msg=of.name)


def test_each_state_is_set(
    networks: tuple[Path, dict[str, Network]], opened: Callable[[str], Any]
) -> None:
    """All that follows is computed from it, step by step in torch."""
    directory, found = networks
    page = page_at(opened, directory)
    for of in CELLS:
        network, names = found[of.name], of.state_names
        x = network.read(READ)
        for place, name in enumerate(names):
            edit = f"{of.name}/{name}/{UNIT}/{STEP}/0.375"
            arrays, _ = page.evaluate(COMPUTE, [of.name, READ, edit])
            got = {key: np.array(arrays[key], np.float32).reshape(-1, UNITS) for key in names}
            assert got[name][STEP, UNIT] == np.float32(0.375)
            # From the states after that step, with the ones that follow from what was set in it.
            states = tuple(torch.from_numpy(got[key][STEP].copy())[None, None] for key in names)
            with torch.no_grad():
                _, before = network.recurrent(x[: STEP + 1])
                rest, _ = network.recurrent(x[STEP + 1 :], states if names[1:] else states[0])
            before = before if names[1:] else (before,)
            others = np.arange(UNITS) != UNIT
            kept = before[place][0, 0].numpy()[others]
            np.testing.assert_allclose(got[name][STEP, others], kept, atol=2e-5, err_msg=edit)
            after = got[names[0]][STEP + 1 :]
            np.testing.assert_allclose(after, rest[:, 0].numpy(), atol=5e-5, err_msg=edit)
            if of in (peeping, library.lstm_peephole) and name == "cell":
                assert abs(got["hidden"][STEP, UNIT] - float(before[0][0, 0, UNIT])) > 1e-3


def test_the_box_of_an_own_cell_is_edited(
    networks: tuple[Path, dict[str, Network]], opened: Callable[[str], Any]
) -> None:
    directory, _ = networks
    link = f"&network=peeping&step=2&unit={UNIT}&box=forget_gate&theme=light"
    page = page_at(opened, directory, link)
    before = wire(page, "forget_gate")
    memory = page.get_by_label(f"c of unit {UNIT} after step 1", exact=True)
    memory.fill("5")
    memory.press("Enter")
    expect(page.locator("#edits li span")).to_contain_text(f"c of unit {UNIT} after step 1: ")
    assert wire(page, " cell") == 5
    assert wire(page, "forget_gate") != before, "the gate looks into the memory"
    expect(memory).to_have_value("5")
    page.click("#take-all-back")
    assert wire(page, "forget_gate") == before
