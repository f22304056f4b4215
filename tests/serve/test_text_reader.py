"""What the page computes of a text, against the reference equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.comparison import assert_agree
from tests.serve.numpy_reader import TextReader, clamped
from tests.serve.reading import Clamp, Passage

from gated.core import reference
from gated.core.layout import gate_rows
from gated.serve.character_model import BUNDLED, CharacterModel, load_models
from gated.serve.exhibit import clampable

TEXT = "To be, or not to be,--\nthat is the question ☃"
POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\nHi"

Read = Callable[..., tuple[dict[str, Any], dict[str, np.ndarray]]]
COMPUTE = """async ([exhibit, network, text, clamp]) => {
  const filled = clamp && { unit: null, first: 0, last: null, ...clamp };
  const reading = await gated.reading(exhibit, network, text, filled);
  const { score, arrays, gradient, probabilities } = reading;
  const plain = ({ steps, width, numbers }) => ({ steps, width, numbers: [...numbers] });
  const odds = [...text].map((_, step) => [...probabilities(step)]);
  const named = Object.entries(arrays).map(([name, matrix]) => [name, plain(matrix)]);
  return { score, gradient: [...gradient.numbers], odds, arrays: Object.fromEntries(named) };
}"""


@pytest.fixture
def read(opened: Callable[[str], Any], address: str) -> Read:
    """Has the page read a text; what it answers: a score, and arrays by name."""
    page = opened(f"{address}#text=a&language=en&theme=light")

    def reads(
        network: str, text: str, clamp: object = None, exhibit: str = "shakespeare"
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        answer = page.evaluate(COMPUTE, [exhibit, network, text, clamp])
        arrays = {
            name: np.array(of["numbers"], np.float32).reshape(of["steps"], of["width"])
            for name, of in answer["arrays"].items()
        }
        arrays["probabilities"] = np.array(answer["odds"], np.float32)
        arrays["gradient"] = np.array(answer["gradient"], np.float32)
        return {"score": answer["score"]}, arrays

    return reads


def model_named(models: list[CharacterModel], name: str) -> CharacterModel:
    return next(model for model in models if model.name == name)


@pytest.mark.parametrize("held", [None, Clamp("forget_gate", 0.25, unit=None, first=4, last=9)])
def test_a_poem_is_read_as_by_numpy(read: Read, held: Clamp | None) -> None:
    """A network with an embedding and a byte a weight."""
    (model,) = [model for model in load_models(BUNDLED / "tang") if model.name == "lstm"]
    expected = TextReader(model).read(Passage(POEM), held)
    header, arrays = read("lstm", POEM, held and held.__dict__, exhibit="tang")
    for name, values in (expected.values | expected.outputs).items():
        assert_agree(arrays[name], values, name)
    assert_agree(arrays["gradient"], expected.gradient, "gradient")
    assert header["score"] == pytest.approx(expected.score, rel=1e-4)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_passage_is_read_as_by_numpy(read: Read, models: list[CharacterModel], name: str) -> None:
    """Its gradients too, from all sixteen moments."""
    model = model_named(models, name)
    text = models[-1].description["passages"]["Sonnet 18"]
    expected = TextReader(model).read(Passage(text), None)
    header, arrays = read(name, text)
    for part, values in (expected.values | expected.outputs).items():
        assert_agree(arrays[part], values, part)
    assert_agree(arrays["gradient"], expected.gradient, "gradient")
    assert header["score"] == pytest.approx(expected.score, rel=1e-4)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_reading_is_what_the_equations_say(
    read: Read, models: list[CharacterModel], name: str
) -> None:
    model = model_named(models, name)
    header, arrays = read(name, TEXT)
    x = model.one_hot(model.encode(TEXT))
    kept = reference.forward(model.cell, x, model.weights, keep=True).kept
    assert kept is not None
    for gate in arrays.keys() - {"probabilities", "gradient"}:
        assert_agree(arrays[gate], kept.gate(gate)[:, 0], gate)
    scores = arrays["hidden"] @ model.output_weight.T + model.output_bias
    odds = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert_agree(arrays["probabilities"], odds, "probabilities")
    places = model.encode(TEXT)
    told = [odds[t, places[t + 1]] for t in range(len(TEXT) - 1) if places[t + 1]]
    assert header["score"] == pytest.approx(-np.log2(told).mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_the_gradient_is_that_of_the_reference(
    read: Read, models: list[CharacterModel], name: str
) -> None:
    model = model_named(models, name)
    text = "Now"  # one moment: the step before the last
    _, arrays = read(name, text)
    x = model.one_hot(model.encode(text))
    result = reference.forward(model.cell, x, model.weights, keep=True)
    assert result.kept is not None
    grad_output = np.zeros_like(result.output)
    grad_output[1, 0] = (arrays["probabilities"][1] - x[2, 0]) @ model.output_weight
    grads = reference.backward(
        result.kept, grad_output, [np.zeros_like(state) for state in result.final]
    )
    assert_agree(arrays["gradient"], np.linalg.norm(grads.x[1::-1, 0], axis=-1), "gradient")


def test_what_the_characters_wrote_adds_up_to_the_cell_state(read: Read) -> None:
    _, arrays = read("lstm", TEXT)
    remembered = np.zeros_like(arrays["cell"][0])
    for k in range(len(TEXT)):
        kept = np.prod(arrays["forget_gate"][k + 1 :], axis=0)
        remembered += kept * arrays["input_gate"][k] * arrays["candidate"][k]
    assert_agree(remembered, arrays["cell"][-1], "c_t")


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_clamped_gate_has_its_value_and_the_equations_go_on_from_it(
    read: Read, models: list[CharacterModel], name: str, value: float
) -> None:
    model = model_named(models, name)
    for gate in clampable(model.cell):
        clamp = {"gate": gate, "value": value, "unit": 3}
        _, changed = read(name, TEXT, clamp)
        _, plain = read(name, TEXT)
        assert_agree(changed[gate][:, 3], np.full(len(TEXT), value, np.float32), gate)
        assert_agree(changed[gate][0, 4:], plain[gate][0, 4:], "the other units' first step")
        assert np.abs(changed["probabilities"] - plain["probabilities"]).max() > 1e-6
    if name == "lstm":
        clamp = {"gate": "forget_gate", "value": value}
        _, changed = read(name, TEXT, clamp)
        written = changed["input_gate"][1:] * changed["candidate"][1:]
        assert_agree(changed["cell"][1:], value * changed["cell"][:-1] + written, "c_t")


@pytest.mark.parametrize(("first", "last"), [(0, 4), (5, 5), (3, None), (20, 900), (900, None)])
def test_a_gate_is_held_for_a_while(read: Read, first: int, last: int | None) -> None:
    """The equations go on from where the hold begins, and from where it ends."""
    clamp = {"gate": "forget_gate", "value": 0.0, "unit": 3, "first": first, "last": last}
    _, changed = read("lstm", TEXT, clamp)
    _, plain = read("lstm", TEXT)
    held = slice(first, None if last is None else last + 1)
    assert (changed["forget_gate"][held, 3] <= 1e-12).all()
    assert_agree(changed["cell"][:first], plain["cell"][:first], "what comes before")
    kept = changed["forget_gate"][1:] * changed["cell"][:-1]
    written = changed["input_gate"] * changed["candidate"]
    assert_agree(changed["cell"][1:], kept + written[1:], "c_t")
    if last == 5:
        assert plain["forget_gate"][5, 3] > 0.01
        assert changed["forget_gate"][6:, 3].min() > 1e-6


def test_the_gradient_goes_through_a_gate_that_is_held_for_a_while(
    read: Read, models: list[CharacterModel]
) -> None:
    """Held at the middle one of three steps, against finite differences of the loss."""
    model = model_named(models, "lstm")
    clamp = Clamp("forget_gate", 0.5, first=1, last=1)
    _, arrays = read("lstm", "Now", clamp.__dict__)
    characters = model.encode("Now")

    def loss(x: np.ndarray) -> float:
        state = None
        for step, weights in enumerate((model.weights, clamped(model, clamp))):
            result = reference.forward(model.cell, x[step : step + 1], weights, initial=state)
            state = result.final
        scores = result.output[0, 0] @ model.output_weight.T + model.output_bias
        return float(np.log(np.exp(scores.astype(float)).sum()) - scores[characters[2]])

    x = model.one_hot(characters).astype(np.float32)
    slope = np.zeros((2, x.shape[2]))
    for step in range(2):
        for place in range(x.shape[2]):
            up, down = x.copy(), x.copy()
            up[step, 0, place] += 0.05
            down[step, 0, place] -= 0.05
            slope[step, place] = (loss(up) - loss(down)) / 0.1
    norms = np.linalg.norm(slope, axis=1)[::-1]
    np.testing.assert_allclose(arrays["gradient"], norms, rtol=5e-3)


def test_a_clamp_touches_its_rows_alone(models: list[CharacterModel]) -> None:
    model = model_named(models, "lstm")
    weights = clamped(model, Clamp("forget_gate", 0.5, unit=2))
    touched = gate_rows("lstm", "forget_gate", model.units).start + 2
    differs = np.flatnonzero((weights.weight_hh != model.weights.weight_hh).any(axis=1))
    assert differs.tolist() == [touched]
    assert weights.bias_ih[touched] == 0


def test_characters_that_are_not_in_the_vocabulary_are_not_scored(
    read: Read, models: list[CharacterModel]
) -> None:
    header, arrays = read("lstm", "To 你 be")
    places = model_named(models, "lstm").encode("To 你 be")
    assert places[3] == 0
    chances = [arrays["probabilities"][t, places[t + 1]] for t in range(6) if t != 2]
    assert header["score"] == pytest.approx(-np.log2(chances).mean(), rel=1e-4)
    assert read("lstm", "床前")[0]["score"] is None


def test_one_character_is_a_text(read: Read) -> None:
    header, arrays = read("lstm", "A")
    assert header["score"] is None
    assert arrays["gradient"].shape == (0,)
    assert arrays["cell"].shape[0] == 1
