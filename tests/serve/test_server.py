"""What the explorer's server answers, against the reference equations."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison import assert_agree

from gated.core import reference
from gated.core.layout import gate_rows
from gated.errors import ModelFileError
from gated.model_files import save_model
from gated.serve.character_model import CharacterModel, load_models
from gated.serve.reading import Clamp, clampable
from gated.serve.text_reader import clamped, texts

TEXT = "To be, or not to be,--\nthat is the question ☃"


def post(address: str, document: object) -> bytes:
    request = urllib.request.Request(
        f"{address}api/readings",
        json.dumps(document).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def read(
    address: str, network: str, text: str, clamp: object = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(post(address, {"network": network, "passage": {"text": text}, "clamp": clamp}))


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    arrays, place = {}, 4 + length
    for listed in header["arrays"]:
        count = int(np.prod(listed["shape"]))
        values = np.frombuffer(data, "<f4", count, place)
        arrays[listed["name"]] = values.reshape(listed["shape"])
        place += 4 * count
    assert place == len(data)
    return header, arrays


def model_named(models: list[CharacterModel], name: str) -> CharacterModel:
    return next(model for model in models if model.name == name)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_a_reading_is_what_the_equations_say(
    address: str, models: list[CharacterModel], name: str
) -> None:
    model = model_named(models, name)
    header, arrays = read(address, network=name, text=TEXT)
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
    address: str, models: list[CharacterModel], name: str
) -> None:
    model = model_named(models, name)
    text = "Now"  # one moment: the step before the last
    _, arrays = read(address, network=name, text=text)
    x = model.one_hot(model.encode(text))
    result = reference.forward(model.cell, x, model.weights, keep=True)
    assert result.kept is not None
    grad_output = np.zeros_like(result.output)
    grad_output[1, 0] = (arrays["probabilities"][1] - x[2, 0]) @ model.output_weight
    grads = reference.backward(
        result.kept, grad_output, [np.zeros_like(state) for state in result.final]
    )
    assert_agree(arrays["gradient"], np.linalg.norm(grads.x[1::-1, 0], axis=-1), "gradient")


def test_what_the_characters_wrote_adds_up_to_the_cell_state(address: str) -> None:
    _, arrays = read(address, network="lstm", text=TEXT)
    remembered = np.zeros_like(arrays["cell"][0])
    for k in range(len(TEXT)):
        kept = np.prod(arrays["forget_gate"][k + 1 :], axis=0)
        remembered += kept * arrays["input_gate"][k] * arrays["candidate"][k]
    assert_agree(remembered, arrays["cell"][-1], "c_t")


@pytest.mark.parametrize("name", ["gru", "lstm"])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_clamped_gate_has_its_value_and_the_equations_go_on_from_it(
    address: str, models: list[CharacterModel], name: str, value: float
) -> None:
    model = model_named(models, name)
    for gate in clampable(model.cell):
        clamp = {"gate": gate, "value": value, "unit": 3}
        _, changed = read(address, network=name, text=TEXT, clamp=clamp)
        _, plain = read(address, network=name, text=TEXT)
        assert_agree(changed[gate][:, 3], np.full(len(TEXT), value, np.float32), gate)
        assert_agree(changed[gate][0, 4:], plain[gate][0, 4:], "the other units' first step")
        assert np.abs(changed["probabilities"] - plain["probabilities"]).max() > 1e-6
    if name == "lstm":
        clamp = {"gate": "forget_gate", "value": value}
        _, changed = read(address, network=name, text=TEXT, clamp=clamp)
        written = changed["input_gate"][1:] * changed["candidate"][1:]
        assert_agree(changed["cell"][1:], value * changed["cell"][:-1] + written, "c_t")


@pytest.mark.parametrize(("first", "last"), [(0, 4), (5, 5), (3, None), (20, 900), (900, None)])
def test_a_gate_is_held_for_a_while(address: str, first: int, last: int | None) -> None:
    """The equations go on from where the hold begins, and from where it ends."""
    clamp = {"gate": "forget_gate", "value": 0.0, "unit": 3, "first": first, "last": last}
    _, changed = read(address, "lstm", TEXT, clamp)
    _, plain = read(address, "lstm", TEXT)
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
    address: str, models: list[CharacterModel]
) -> None:
    """Held at the middle one of three steps, against finite differences of the loss."""
    model = model_named(models, "lstm")
    clamp = Clamp("forget_gate", 0.5, first=1, last=1)
    _, arrays = read(address, "lstm", "Now", clamp.__dict__)
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
    address: str, models: list[CharacterModel]
) -> None:
    header, arrays = read(address, network="lstm", text="To 你 be")
    places = model_named(models, "lstm").encode("To 你 be")
    assert places[3] == 0
    chances = [arrays["probabilities"][t, places[t + 1]] for t in range(6) if t != 2]
    assert header["score"] == pytest.approx(-np.log2(chances).mean(), rel=1e-4)
    assert read(address, network="lstm", text="床前")[0]["score"] is None


def test_one_character_is_a_text(address: str) -> None:
    header, arrays = read(address, network="lstm", text="A")
    assert header["score"] is None
    assert arrays["gradient"].shape == (0,)
    assert arrays["cell"].shape[0] == 1


@pytest.mark.parametrize(
    ("network", "text", "clamp", "status", "said"),
    [
        ("tree", "a", None, 400, "network must be one of rnn, gru, lstm"),
        ("lstm", "", None, 400, "text must have 1 to 5000 characters, got 0"),
        ("lstm", "a" * 5001, None, 400, "text must have 1 to 5000 characters, got 5001"),
        ("gru", "a", {"gate": "forget_gate", "value": 1}, 400, "one of reset_gate, update_gate"),
        ("rnn", "a", {"gate": "forget_gate", "value": 1}, 400, "has no gate to hold"),
        ("lstm", "a", {"value": 1}, 422, "Field required"),
        ("lstm", "a", {"gate": "forget_gate", "value": 2}, 400, "from 0 to 1, got 2"),
        ("lstm", "a", {"gate": "forget_gate", "value": 1, "unit": 80}, 400, "0 to 79, got 80"),
        (
            "lstm",
            "a",
            {"gate": "forget_gate", "value": 1, "first": -1},
            400,
            "first must be 0 or more, got -1",
        ),
        (
            "lstm",
            "a",
            {"gate": "forget_gate", "value": 1, "first": 3, "last": 2},
            400,
            "last must be at least first, 3, got 2",
        ),
    ],
)
def test_what_cannot_be_read_is_explained(
    address: str, network: str, text: str, clamp: object, status: int, said: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        read(address, network, text, clamp)
    with caught.value as error:
        assert error.code == status
        assert said in error.read().decode()


def test_only_this_machine_may_ask(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as error:
        assert error.code == 400


def test_the_page_comes_with_its_policy(address: str) -> None:
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "gated explore" in answer.read().decode()


def test_a_directory_without_a_network_over_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"holds model\.json"):
        load_models(tmp_path)
    save_model(tmp_path, {}, {"task": "forecast"})
    with pytest.raises(ModelFileError, match="task 'forecast'"):
        load_models(tmp_path)


def test_the_tour_has_its_story_only_where_there_is_one(models: list[CharacterModel]) -> None:
    assert texts(models).offered["guide"] == {"network": "lstm", "passage": "Hamlet", "unit": 15}
    assert texts(models[:2]).offered["guide"] is None
    lstm = models[-1]
    for change in ({"passages": {"Hamlet": "one line"}}, {"passages": {}}, {"guide": None}):
        other = replace(lstm, description=lstm.description | change)
        assert texts([other]).offered["guide"] is None
