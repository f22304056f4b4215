"""Train the Chinese networks of `gated explore`: RNN, GRU and LSTM, on poems of the Tang.

    npm pack chinese-poetry@2.0.1 && tar xzf chinese-poetry-2.0.1.tgz
    pip install opencc
    python examples/explorer_poems.py package/dist/quantangshi --out models/tang

The poems are those of the npm package chinese-poetry (MIT), in traditional characters; OpenCC makes
simplified ones of them. Taken are poems whose lines all have five characters, or all seven. A line
of the text is a couplet, an empty line ends a poem. The poems of `PASSAGES` and one poem in twenty
are never trained on: the score is of them.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import opencc
import torch
from explorer_models import LAYERS, UNKNOWN, bits_per_character, encode, train
from torch import Tensor, nn

from gated.explain import trace
from gated.model_files import save_model
from gated.serve.compact import expanded, in_bytes

FORM = re.compile(r"(\w{5}，\w{5}。){2,8}|(\w{7}，\w{7}。){2,8}")
PASSAGES = {
    "杜甫《春望》": ("杜甫", "春望"),
    "杜甫《登高》": ("杜甫", "登高"),
    "李商隐《锦瑟》": ("李商隱", "錦瑟"),
    "王之涣《登鹳雀楼》": ("王之渙", "登鸛雀樓"),
}
GUIDE = "杜甫《登高》"
"""The passage of the tour, whose lines have seven characters."""
ENDS = "，。\n"
"""Each ends a line of verse."""
TEST = 0.05
CHARACTERS = 2400
"""Of the vocabulary: the most frequent of the poems, with `UNKNOWN`."""
UNITS = 96
EMBEDDING = 40
STEPS = 50
"""Of one update: a poem of eight lines has 48 characters, or 64."""


class PoemNetwork(nn.Module):
    """A recurrent layer over embedded characters; what it predicts is compared with the embeddings.

    So many characters would need the most weights by far, were they one-hot.
    """

    def __init__(self, cell: str, characters: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, EMBEDDING)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.recurrent = LAYERS[cell](EMBEDDING, UNITS)
        self.projection = nn.Linear(UNITS, EMBEDDING, bias=False)
        self.output = nn.ParameterDict({"bias": torch.zeros(characters)})

    def read(self, characters: Tensor) -> Tensor:
        """Return the input of the layer (T, B, E), from characters (T, B)."""
        return self.embedding(characters)

    def forward(self, characters: Tensor, state=None):
        """Return logits of the next character (T, B, V) and the final states."""
        hidden, state = self.recurrent(self.read(characters), state)
        return self.projection(hidden) @ self.embedding.weight.T + self.output["bias"], state


def poems(directory: Path) -> dict[tuple[str, str], str]:
    """Return each poem of the form once, by author and title, a couplet a line."""
    simplified = opencc.OpenCC("t2s")
    found: dict[tuple[str, str], str] = {}
    for file in sorted(directory.glob("poet.tang.*.json")):
        for poem in json.loads(file.read_text("utf-8")):
            text = "".join(poem["paragraphs"])
            if FORM.fullmatch(text):
                lines = simplified.convert(text).replace("。", "。\n")
                found.setdefault((poem["author"], poem["title"]), lines)
    return found


def counting_unit(network: PoemNetwork, read: str, vocabulary: str) -> int:
    """The unit of an LSTM whose memory follows the place in the line of verse most closely.

    The tour of the explorer is about it.
    """
    characters = encode(read, vocabulary)[:, None]
    cell = trace(network.recurrent, network.read(characters)).layers[0].cell[:, 0]
    place = [t - max(read.rfind(end, 0, t + 1) for end in ENDS) for t in range(len(read))]
    return int(np.abs(np.corrcoef(place, cell.T)[0, 1:]).argmax())


def main() -> None:
    """Train the three networks, print their scores and save them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=5000, help="of each network's weights")
    parser.add_argument("--cells", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    arguments = parser.parse_args()
    found = poems(arguments.directory)
    passages = {name: found.pop(key).rstrip() for name, key in PASSAGES.items()}
    texts = sorted(set(found.values()) - set(passages.values()))
    random.Random(0).shuffle(texts)
    tested = int(TEST * len(texts))
    trained_on, held_out = "\n".join(texts[tested:]), "\n".join(texts[:tested])
    counts = Counter(trained_on).most_common(CHARACTERS - 1)
    vocabulary = UNKNOWN + "".join(sorted(character for character, _ in counts))
    for cell in arguments.cells:
        torch.manual_seed(0)
        network = PoemNetwork(cell, len(vocabulary))
        train(network, encode(trained_on, vocabulary), arguments.updates, STEPS)
        arrays = in_bytes({name: part.numpy() for name, part in network.state_dict().items()})
        kept = {name: torch.from_numpy(part) for name, part in expanded(arrays).items()}
        network.load_state_dict(kept)
        bits = bits_per_character(network, encode(held_out, vocabulary))
        print(f"{cell}: {bits:.3f} bits per character of {len(held_out):,} never seen", flush=True)
        description = {
            "task": "characters",
            "cell": "rnn_tanh" if cell == "rnn" else cell,
            "units": UNITS,
            "vocabulary": vocabulary,
            "trained_on": {
                "en": f"{len(texts) - tested:,} poems of the Tang, {len(trained_on):,} characters "
                "(the package chinese-poetry)",
                "zh": f"{len(texts) - tested:,} 首唐诗，共 {len(trained_on):,} 个字符"
                "（chinese-poetry 包）",
            },
            "bits_per_character": round(bits, 3),
            "passages": passages,
        }
        if cell == "lstm":
            unit = counting_unit(network, held_out[:20_000], vocabulary)
            description["guide"] = {"network": cell, "passage": GUIDE, "unit": unit, "ends": ENDS}
        save_model(arguments.out / cell, arrays, description)


if __name__ == "__main__":
    main()
