"""Cells of one's own in the explorer, by the command and by a folder, and what is no cell."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve.conftest import number, serving, settle, wire
from torch import Tensor, nn

import gated.nn
from gated.cells import Cell, PerUnit, cell, library, sigmoid, tanh
from gated.cells.check_document import check_document
from gated.errors import CellError, ModelFileError
from gated.serve.character_model import load_model, load_models
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import texts
from gated.training.model_files import save_model

VOCABULARY = "\N{REPLACEMENT CHARACTER}" + "abcdefghijklmnopqrstuvwxyz \n"
READ = "the dog jumps\nover"
UNITS = 6


@cell(gates={"k": "forget_gate", "w": "input_gate", "g": "candidate"})
def peeping(x: Any, h: Any, c: Any, *, p: PerUnit) -> Any:
    """A memory that its gates look into."""
    k = sigmoid(x.k + h.k + p * c)
    c = k * c + sigmoid(x.w + h.w) * tanh(x.g + h.g)
    return tanh(c), c


class Network(nn.Module):
    """One layer over characters, with weights that are drawn."""

    def __init__(self, of: Cell) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent = gated.nn.Recurrent(of, len(VOCABULARY), UNITS)
        self.output = nn.Linear(UNITS, len(VOCABULARY))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-0.9, 0.9)

    def read(self, text: str) -> Tensor:
        codes = torch.tensor([VOCABULARY.index(character) for character in text])
        return nn.functional.one_hot(codes, len(VOCABULARY)).float()[:, None]


def saved(directory: Path, of: Cell = peeping, **description: Any) -> Network:
    network = Network(of)
    described = {"task": "characters", "cell": network.recurrent.cell.document}
    save_model(directory, network, {**described, "vocabulary": VOCABULARY} | description)
    return network


def probabilities(network: Network) -> np.ndarray:
    with torch.no_grad():
        hidden = network.recurrent(network.read(READ))[0]
        return network.output(hidden)[:, 0].softmax(-1).numpy()


def computed(page: Any, exhibit: str, name: str, clamp: Any = None) -> dict[str, Any]:
    found = page.evaluate(
        """async ([exhibit, name, text, clamp]) => {
          const { probabilities, arrays, gradient } = await gated.reading(
            exhibit, name, text, clamp);
          const numbers = Object.entries(arrays).map(([key, of]) => [key, [...of.numbers]]);
          return { predicted: [...text].map((_, step) => [...probabilities(step)]), numbers,
                   gradient: [...gradient.numbers] };
        }""",
        [exhibit, name, READ, clamp],
    )
    arrays = {key: np.array(values).reshape(len(READ), UNITS) for key, values in found["numbers"]}
    return {**found, "predicted": np.array(found["predicted"]), "arrays": arrays}


def test_a_cell_of_ones_own_is_shown(tmp_path: Path, opened: Callable[[str], Any]) -> None:
    network = saved(tmp_path / "peeping")
    write_page(tmp_path / "page", [texts(load_models(tmp_path / "peeping"))])
    link = f"#text={READ.replace(chr(10), '%0A')}&step=9&unit=2&box=forget_gate&language=en"
    page = opened((tmp_path / "page" / "index.html").as_uri() + link + "&theme=light")
    settle(page)
    found = computed(page, "run", "peeping")
    np.testing.assert_allclose(found["predicted"], probabilities(network), atol=2e-5)
    with torch.no_grad():
        *_, gates = network.recurrent(network.read(READ), return_gates=True)
    keep, memory = found["arrays"]["forget_gate"], found["arrays"]["cell"]
    np.testing.assert_allclose(keep, gates[0]["forget_gate"][:, 0].numpy(), atol=2e-5)
    # The drawing has a wire for each gate and state, and those before the step.
    assert wire(page, "forget_gate") == pytest.approx(keep[9, 2], abs=0.006)
    assert wire(page, " cell") == pytest.approx(memory[8, 2], abs=0.006)
    assert page.locator(".equation").count() == 5
    # The bars of the gate add up, with that of the peephole among them.
    rows = page.locator("#box .bars-row:visible")
    names = rows.locator(".bars-name").all_inner_texts()
    parts = [number(text) for text in rows.locator(".bars-number").all_inner_texts()]
    assert "other terms of the sum" in names
    assert sum(parts[:-2]) == pytest.approx(parts[-2], abs=0.06)
    assert 1 / (1 + np.exp(-parts[-2])) == pytest.approx(keep[9, 2], abs=0.01)
    assert parts[-1] == pytest.approx(keep[9, 2], abs=0.006)
    assert f"cₜ = {memory[9, 2]:.2f}".replace("-", "−") in page.inner_text("#sum")
    # What it holds is the state's next value.
    held = computed(
        page,
        "run",
        "peeping",
        {"gate": "forget_gate", "value": 0, "unit": 2, "first": 9, "last": 9},
    )["arrays"]
    written = memory[9, 2] - keep[9, 2] * memory[8, 2]
    assert held["cell"][9, 2] == pytest.approx(written, abs=2e-5)


def test_it_fits_and_is_accessible(tmp_path: Path, looks_right: Callable[[str, int], None]) -> None:
    for of in (peeping, library.indrnn):
        saved(tmp_path / of.name, of)
    with serving([texts(load_models(tmp_path))]) as page:
        looks_right(f"{page}#text=dog&network=peeping&box=input_gate&language=en&theme=dark", 390)
        looks_right(f"{page}#text=dog&network=indrnn&step=2&language=zh&theme=light", 1280)


def test_commas_and_counts_of_a_tiny_cell(tmp_path: Path, opened: Callable[[str], Any]) -> None:
    saved(tmp_path)
    with serving([texts([load_model(tmp_path)])]) as address:
        page = opened(f"{address}#text=dog&step=0&unit=1&box=forget_gate&language=zh&theme=light")
        settle(page)
        names = page.locator("#box .bars-row:visible .bars-name").all_inner_texts()
        assert names[1].strip() == f"全部 {UNITS} 个神经元"  # all states are 0
        label = page.locator("#diagram").get_attribute("aria-label")
        assert label.startswith("PEEPING 单元，带有所选神经元的数值：d，hₜ₋₁")
        assert "," not in label
        assert ":" not in label
        page.click("#language")
        page.locator('#diagram[aria-label*="unit: d, hₜ₋₁"]').wait_for()
        page.locator("#step").fill("2")
        settle(page)
        names = page.locator("#box .bars-row:visible .bars-name").all_inner_texts()
        assert len([name for name in names if name.startswith("h of unit")]) == UNITS
        assert not any("units" in name for name in names)


def test_a_cell_of_the_library_is_named(tmp_path: Path) -> None:
    saved(tmp_path, library.mgu, cell="mgu")
    assert load_model(tmp_path).definition == library.mgu.document
    for stated in ("no_such_cell", ["mgu"], None):
        saved(tmp_path, library.mgu, cell=stated)
        with pytest.raises(ModelFileError, match=r"the cell .*`document` of a cell of one's own"):
            load_model(tmp_path)


def test_a_run_of_another_task_is_refused_without_a_word_of_cells(tmp_path: Path) -> None:
    save_model(tmp_path, Network(library.gru), {"task": "regress", "config": {}})
    with pytest.raises(ModelFileError, match=r"task 'regress'.*gated explain") as refused:
        load_model(tmp_path)
    assert "None" not in str(refused.value)


def test_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    for of in (library.lstm_peephole, library.fast_grnn, library.indrnn):
        saved(tmp_path, of)
        assert load_model(tmp_path).definition == of.document
    network = Network(library.lstm_peephole)
    network.recurrent.peepholes_l0 = torch.nn.Parameter(torch.zeros(3, UNITS - 1))
    described = {"task": "characters", "cell": library.lstm_peephole.document}
    save_model(tmp_path, network, {**described, "vocabulary": VOCABULARY})
    with pytest.raises(ModelFileError, match=r"peepholes_l0': \(3, 6\)"):
        load_model(tmp_path)


def test_every_cell_of_the_library_has_a_document_that_is_taken() -> None:
    for of in vars(library).values():
        if isinstance(of, Cell) and not of.per_step:
            found = json.loads(json.dumps(of.document))
            assert check_document(found) == found


def changed(**changes: Any) -> dict[str, Any]:
    """The document with other things at places such as `nodes/3/operation`."""
    found = copy.deepcopy(peeping.document)
    for path, value in changes.items():
        *way, last = path.split("__")
        of: Any = found
        for key in way:
            of = of[int(key) if isinstance(of, list) else key]
        of[int(last) if isinstance(of, list) else last] = value
    return found


PRODUCT = next(
    place for place, of in enumerate(peeping.document["nodes"]) if of["operation"] == "product"
)
HOSTILE = {
    "not a list": (changed(nodes={}), r"nodes is \{\}, expected a list"),
    "of no kind": (changed(**{f"nodes__{PRODUCT}__operation": "constructor"}), "operation is"),
    "ahead": (changed(**{f"nodes__{PRODUCT}__arguments": [999]}), "expected a whole number below"),
    "no matrix": (
        changed(**{f"nodes__{PRODUCT}__about": {"name": "__proto__", "gate": "f"}}),
        r"about\.name is .__proto__., expected one of weight_ih",
    ),
    "markup": (changed(name="<img src=x>"), "name is .*expected a name of letters"),
    "given from outside": (
        changed(**{f"nodes__{PRODUCT}__operation": "per_step"}),
        "operation is .per_step., expected",
    ),
    "held": (changed(held=["candidate"]), "held gate candidate is .tanh."),
    "no state": (changed(states=[]), "expected a whole number below 0"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_document_of_no_cell_is_refused(hostile: str) -> None:
    document, words = HOSTILE[hostile]
    with pytest.raises(CellError, match=f"{words}.*`layer.cell.document`"):
        check_document(document)


def places_in(found: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value within a document."""
    inner = found.items() if isinstance(found, dict) else enumerate(found)
    for key, value in inner:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places_in(value, (*way, key))


@pytest.mark.parametrize("other", [None, "x", -1, [], {}, [{"a": 1}]], ids=repr)
def test_whatever_stands_anywhere_is_taken_or_refused_in_words(other: Any) -> None:
    refused = 0
    whole = json.dumps(library.gru.document)
    for *way, last in places_in(library.gru.document):
        found = json.loads(whole)
        of = found
        for key in way:
            of = of[key]
        of[last] = other
        try:
            check_document(found)
        except CellError:
            refused += 1
    assert refused > 100


def choose(page: Any, directory: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(directory)


def test_a_folder_of_another_task_is_refused_without_a_word_of_cells(
    tmp_path: Path, opened: Callable[[str], Any], address: str
) -> None:
    save_model(tmp_path / "winds", Network(library.gru), {"task": "regress", "config": {}})
    saved(tmp_path / "strange", library.mgu, cell="no_such_cell")
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    choose(page, tmp_path / "winds")
    told = page.locator("#problem")
    page.locator("#problem", has_text="winds is a run of the task regress").wait_for()
    assert "gated explain winds DATA" in told.inner_text()
    assert "cell" not in told.inner_text()
    page.click("#language")
    page.locator("#problem", has_text="winds 是任务 regress 的训练结果").wait_for()
    choose(page, tmp_path / "strange")
    page.locator("#problem", has_text="strange 的单元 no_such_cell").wait_for()
    page.click("#language")
    page.locator("#problem", has_text="does not know by its name: no_such_cell").wait_for()


def test_it_is_opened_by_its_folder(
    tmp_path: Path, opened: Callable[[str], Any], address: str
) -> None:
    lines = ["<img src=x>_t = \\sigma(x)", *peeping.document["equations"][1:]]
    network = saved(tmp_path / "own", cell=changed(equations=lines))
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    for place, (document, words) in enumerate(HOSTILE.values()):
        saved(tmp_path / f"run{place}", cell=document)
        choose(page, tmp_path / f"run{place}")
        told = page.locator("#problem", has_text="This is not the document of a cell")
        told.wait_for()
        assert "layer.cell.document" in told.inner_text()
        if words.startswith("held"):
            assert "nodes[gates.candidate].operation is " in told.inner_text()
            page.click("#language")
            chinese = page.locator("#problem", has_text="这不是逐字符阅读的单元的文档")
            chinese.wait_for()
            assert re.search(r'operation 是 "\w+"，应为 sigmoid。', chinese.inner_text())
            page.click("#language")
            told.wait_for()
        page.evaluate("document.getElementById('problem').textContent = ''")
    choose(page, tmp_path / "own")
    page.locator("#about", has_text=f"It has {UNITS} units").wait_for()
    settle(page)
    found = computed(page, "own", "peeping")
    np.testing.assert_allclose(found["predicted"], probabilities(network), atol=2e-5)
    assert page.locator("#equations img").count() == 0
    assert page.locator(".equation").first.inner_text().startswith("<img src=x>")
