"""Numbers that are changed in the page: what follows from them, and the way back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tests.comparison import assert_agree
from tests.serve.conftest import number, settle, wire

from gated.core import reference
from gated.core.layout import gate_rows
from gated.serve.character_model import BUNDLED, CharacterModel, load_models

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect

START = "#text=To+be,+or+not+to+be&network=lstm&step=5&unit=3&language=en&theme=light"
TEXT = "To be, or not"
UNIT, FROM, STEP = 3, 5, 4

COMPUTE = """async ([exhibit, network, text, edits]) => {
  const { arrays, gradient, probabilities } =
    await gated.reading(exhibit, network, text, null, edits);
  const plain = ({ width, numbers }) => ({ width, numbers: [...numbers] });
  const named = Object.entries({ ...arrays, gradient }).map(([name, of]) => [name, plain(of)]);
  const odds = [...text].map((_, step) => [...probabilities(step)]);
  return [Object.fromEntries(named), odds];
}"""

Read = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def read(browser: Any, address: str) -> Iterator[Read]:
    """Has the page read a text with changed numbers; what it answers: arrays by name."""
    page = browser.new_page()
    page.goto(f"{address}#text=a&language=en&theme=light")

    def reads(
        network: str, text: str, edits: str, exhibit: str = "shakespeare"
    ) -> dict[str, np.ndarray]:
        arrays, odds = page.evaluate(COMPUTE, [exhibit, network, text, edits])
        found = {
            name: np.array(of["numbers"], np.float32).reshape(-1, of["width"])
            for name, of in arrays.items()
        }
        return found | {"probabilities": np.array(odds, np.float32)}

    yield reads
    page.close()


@dataclass
class Expected:
    """What the reference computes, a step at a time: states can be set between two."""

    model: CharacterModel
    weights: Any
    gates: dict[str, list[np.ndarray]] = field(default_factory=dict)
    states: tuple[np.ndarray, ...] | None = None

    def step(self, x: np.ndarray, set_states: dict[str, tuple[int, float]]) -> np.ndarray:
        """Run a step of input (V,) and return h, (H,)."""
        result = reference.forward(
            self.model.cell, x[None, None], self.weights, initial=self.states, keep=True
        )
        assert result.kept is not None
        hidden, *cells = [state.copy() for state in result.final]
        if "cell" in set_states:
            unit, value = set_states["cell"]
            cells[0][..., unit] = value
            gate = result.kept.gate("output_gate")[0, 0, unit]
            hidden[..., unit] = gate * np.tanh(value)
        if "hidden" in set_states:
            unit, value = set_states["hidden"]
            hidden[..., unit] = value
        self.states = (hidden, *cells)
        return np.asarray(hidden.ravel())


def changed_weights(model: CharacterModel, gate: str, character: str) -> tuple[Any, str]:
    """Weights with three of them changed, and the edits that change them."""
    row = gate_rows(model.cell, gate, model.units).start + UNIT
    place = int(model.encode(character)[0])
    weights = {
        name: np.array(value)
        for name, value in model.weights._asdict().items()
        if value is not None
    }
    weights["weight_ih"][row, place] = -2.5
    weights["weight_hh"][row, FROM] = 1.75
    edits = [
        f"{model.name}/input_weight/{gate}/{UNIT}/{place}/-2.5",
        f"{model.name}/weight/{gate}/{UNIT}/{FROM}/1.75",
    ]
    if model.name == "gru" and gate == "candidate":
        weights["bias_ih"][row], weights["bias_hh"][row] = 0.5, -0.75
        edits += [f"gru/bias/{gate}/{UNIT}/0.5", f"gru/inner/{gate}/{UNIT}/-0.75"]
    else:
        weights["bias_ih"][row] = 0.5 - weights["bias_hh"][row]
        edits.append(f"{model.name}/bias/{gate}/{UNIT}/0.5")
    return type(model.weights)(**weights), ";".join(edits)


@pytest.mark.parametrize(
    ("name", "gate"),
    [("rnn", "hidden"), ("gru", "update_gate"), ("gru", "candidate"), ("lstm", "forget_gate")],
)
def test_changed_weights_are_computed_with(
    read: Read, models: list[CharacterModel], name: str, gate: str
) -> None:
    """Gates, states and gradient, against the reference with the same weights."""
    model = next(model for model in models if model.name == name)
    weights, edits = changed_weights(model, gate, "o")
    arrays = read(name, TEXT, edits)
    x = model.one_hot(model.encode(TEXT))
    kept = reference.forward(model.cell, x, weights, keep=True).kept
    assert kept is not None
    for part in arrays.keys() - {"probabilities", "gradient"}:
        assert_agree(arrays[part], kept.gate(part)[:, 0], part)
    short = read(name, "No!", edits)
    characters = model.encode("No!")
    result = reference.forward(model.cell, model.one_hot(characters), weights, keep=True)
    assert result.kept is not None
    slope = np.zeros_like(result.output)
    slope[1, 0] = (short["probabilities"][1] - model.one_hot(characters)[2, 0]) @ (
        model.output_weight
    )
    grads = reference.backward(result.kept, slope, [np.zeros_like(state) for state in result.final])
    expected = np.linalg.norm(grads.x[1::-1, 0], axis=-1)
    assert_agree(short["gradient"][:, 0], expected, "gradient")


def test_a_character_of_a_network_with_an_embedding_is_changed_alone(read: Read) -> None:
    (model,) = [model for model in load_models(BUNDLED / "tang") if model.name == "lstm"]
    weights, edits = changed_weights(model, "input_gate", "月")
    arrays = read("lstm", "床前明月光", edits, exhibit="tang")
    x = model.one_hot(model.encode("床前明月光"))
    kept = reference.forward(model.cell, x, weights, keep=True).kept
    assert kept is not None
    assert_agree(arrays["hidden"], kept.gate("hidden")[:, 0], "h")
    short = read("lstm", "月光床", edits, exhibit="tang")
    x = model.one_hot(model.encode("月光床"))
    result = reference.forward(model.cell, x, weights, keep=True)
    assert result.kept is not None
    slope = np.zeros_like(result.output)
    slope[1, 0] = (short["probabilities"][1] - x[2, 0]) @ model.output_weight
    grads = reference.backward(result.kept, slope, [np.zeros_like(state) for state in result.final])
    expected = np.linalg.norm(grads.x[1::-1, 0], axis=-1)
    assert_agree(short["gradient"][:, 0], expected, "gradient")


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("rnn", {"hidden": (UNIT, -0.5)}),
        ("gru", {"hidden": (UNIT, -0.5)}),
        ("lstm", {"hidden": (FROM, -0.5), "cell": (UNIT, 1.5)}),
        ("lstm", {"hidden": (UNIT, 0.25), "cell": (UNIT, -2.0)}),
    ],
)
def test_a_state_is_set_and_all_that_follows_is_computed_from_it(
    read: Read, models: list[CharacterModel], name: str, states: dict[str, tuple[int, float]]
) -> None:
    """States before and after, and the gradient, against finite differences of the loss."""
    model = next(model for model in models if model.name == name)
    written = [f"{name}/{kind}/{unit}/%d/{value}" for kind, (unit, value) in states.items()]
    arrays = read(name, TEXT, ";".join(edit % STEP for edit in written))
    expected = Expected(model, model.weights)
    x = model.one_hot(model.encode(TEXT))[:, 0]
    hidden = [expected.step(x[t], states if t == STEP else {}) for t in range(len(TEXT))]
    assert_agree(arrays["hidden"], np.array(hidden, np.float32), "h")
    plain = read(name, TEXT, "")
    assert_agree(arrays["hidden"][:STEP], plain["hidden"][:STEP], "what comes before")
    assert np.abs(arrays["hidden"][STEP + 1 :] - plain["hidden"][STEP + 1 :]).max() > 1e-3

    characters = model.encode("Now")
    exact = type(model.weights)(*(None if w is None else w.astype(float) for w in model.weights))

    def loss(x: np.ndarray) -> float:
        expected = Expected(model, exact)
        expected.step(x[0], states)
        scores = expected.step(x[1], {}) @ model.output_weight.T + model.output_bias
        return float(np.log(np.exp(scores).sum()) - scores[characters[2]])

    x = model.one_hot(characters)[:, 0].astype(float)
    slope = np.zeros((2, x.shape[1]))
    for step, place in np.ndindex(*slope.shape):
        up, down = x.copy(), x.copy()
        up[step, place] += 1e-4
        down[step, place] -= 1e-4
        slope[step, place] = (loss(up) - loss(down)) / 2e-4
    gradient = read(name, "Now", ";".join(edit % 0 for edit in written))["gradient"]
    norms = np.linalg.norm(slope, axis=1)[::-1]
    np.testing.assert_allclose(gradient[:, 0], norms, rtol=2e-4)


@pytest.fixture
def page(opened: Callable[[str], Any], address: str) -> Any:
    """The page at `START` with the forget gate of unit 3 opened."""
    page = opened(f"{address}{START}&box=forget_gate")
    expect(page.locator("#box h3")).to_contain_text("Forget gate f")
    settle(page)
    return page


def field_of(page: Any, name: str) -> Any:
    return page.get_by_label(name, exact=True)


def test_a_bias_is_typed_over_and_taken_back(page: Any) -> None:
    expect(page.locator("#edits")).to_be_hidden()
    before = page.locator("#prediction").inner_text()
    old, shut = (
        number(field_of(page, "Forget gate f of unit 3, bias").input_value()),
        wire(page, "f"),
    )
    bias = field_of(page, "Forget gate f of unit 3, bias")
    bias.fill("-20")
    bias.press("Enter")
    expect(bias).to_be_focused()
    assert wire(page, "f") == 0 < shut
    expect(page.locator("#box .bars-row:visible .bars-number").last).to_have_text("0.00")
    expect(page.locator("#edits li span")).to_have_text(
        f"Forget gate f of unit 3, bias: {old:.2f} → −20".replace("-", "−")
    )
    expect(page.locator("#effect")).to_contain_text("with the change")
    assert page.locator("#prediction .bars-mark:visible").count() == 8
    expect(page).to_have_url(re.compile("edits=lstm%2Fbias%2Fforget_gate%2F3%2F-20"))
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    assert wire(page, "f") == 0
    expect(field_of(page, "Forget gate f of unit 3, bias")).to_have_value("−20")
    page.get_by_role("button", name="Undo all").press("Enter")
    expect(page.locator("#edits")).to_be_hidden()
    settle(page)
    assert wire(page, "f") == shut
    assert page.locator("#prediction").inner_text() == before
    expect(page).not_to_have_url(re.compile("edits"))
    assert page.evaluate("document.activeElement.className").startswith("equation")


def test_states_and_weights_are_changed_by_arrow_keys(page: Any) -> None:
    cell = field_of(page, "c of unit 3 after step 4")
    old = number(cell.input_value())
    assert old == wire(page, "c0")
    cell.press("ArrowUp")
    expect(page.locator("#edits li")).to_have_count(1)
    assert wire(page, "c0") == pytest.approx(old + 0.1, abs=0.0051)
    page.click("#back")
    assert wire(page, "c") == pytest.approx(old + 0.1, abs=0.0051)
    state = re.search(r"= (−?[\d.]+),", page.locator("#sum").text_content())
    assert state is not None
    assert number(state[1]) == wire(page, "c"), "the ledger adds up to what was set"
    page.click("#forward")
    row = page.locator("#box .bars-row").nth(1)
    weight = row.locator(".number").nth(1)
    assert weight.get_attribute("aria-label").startswith("Forget gate f of unit 3, weight of h of")
    name, shut = row.inner_text(), wire(page, "f")
    weight.fill("−9,5")
    weight.press("Tab")
    expect(page.locator("#refused")).to_have_text(
        "“−9,5” is not a number. Write a number like −0.25. The old value is kept."
    )
    weight.fill("−9.5")
    weight.press("Tab")
    expect(page.locator("#edits li")).to_have_count(2)
    expect(page.locator("#refused")).to_be_empty()
    settle(page)
    assert row.inner_text().split("\n")[0] == name.split("\n")[0], "the row stays where it is"
    assert wire(page, "f") != shut
    page.locator("#edits li button").first.click()
    expect(page.locator("#edits li")).to_have_count(1)
    expect(page.locator("#edits h3")).to_be_focused()
    page.click("#take-all-back")
    assert wire(page, "c0") == old


def test_numbers_that_cannot_be_are_refused_in_words(page: Any) -> None:
    bias, state = "Forget gate f of unit 3, bias", "h of unit 3 after step 4"
    for label, typed, words in (
        (bias, "abc", "“abc” is not a number."),
        (bias, "", "The field is empty. Write a number"),
        (bias, "1e9", "1e9 is not possible: this field takes numbers between −100 and 100."),
        (
            state,
            "1.5",
            "1.5 is not possible: a hidden state, which gates and tanh compute, is between −1 and",
        ),
    ):
        typed_in = (
            page.locator("#box .states .number").first if label == state else field_of(page, label)
        )
        old = typed_in.input_value()
        typed_in.fill(typed)
        typed_in.press("Enter")
        expect(page.locator("#refused")).to_contain_text(words)
        expect(typed_in).to_have_value(old)
        expect(typed_in).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#edits")).to_be_hidden()
        typed_in.fill("0.5")
        typed_in.press("Escape")
        expect(typed_in).to_have_value(old)


def test_edits_of_a_link_that_cannot_be_are_told_of(
    opened: Callable[[str], Any], address: str
) -> None:
    page = opened(
        f"{address}{START}&edits=lstm/bias/forget_gate/3/2;lstm/bias/door/3/1;lstm/hidden/3/4/7"
    )
    settle(page)
    (told,) = page.locator("#notices p").all_inner_texts()
    assert told.startswith("Changed numbers: there is no “lstm/bias/forget_gate/3/2;lstm/bias/door")
    assert told.endswith("The page shows: lstm/bias/forget_gate/3/2.")
    assert "network/bias/gate/unit/number" in told
    page.get_by_role("button", name="GRU", exact=True).click()
    expect(page.locator("#edits")).to_be_hidden()
    page.get_by_role("button", name="LSTM", exact=True).click()
    expect(page.locator("#edits li")).to_have_count(1)


@pytest.mark.parametrize(
    ("language", "theme", "width"), [("en", "light", 390), ("zh", "dark", 1280)]
)
def test_no_barrier_where_numbers_are_changed(
    address: str, looks_right: Callable[[str, int], None], language: str, theme: str, width: int
) -> None:
    link = START.replace("=en", f"={language}").replace("light", theme)
    edits = "lstm/cell/3/4/1.5;lstm/input_weight/forget_gate/3/9/-1"
    looks_right(f"{address}{link}&box=forget_gate&edits={edits}", width)
