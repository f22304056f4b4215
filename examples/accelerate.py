"""What `gated.accelerate` does to the training of published packages, unchanged.

    pip install darts pytorch-lightning pytorch-forecasting stanza
    python examples/accelerate.py

Two copies of each package's model take the package's own training steps on the same batches, turn
by turn, one of them accelerated. Printed are the medians of a step, their ratio, and how far apart
the losses of the two are at most, relative to the loss. Packages that are not installed are left
out. The data are made up, and as large as those that the packages' tutorials use.
"""

import argparse
import copy
import importlib
import importlib.util
import logging
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import gated


class Training(NamedTuple):
    """A package's model, and how the package trains it."""

    model: nn.Module
    step: Callable[[Any], float]
    """One training step on a batch; gives the loss."""
    batches: list[Any]


def darts(kind: str) -> Training:
    """The forecaster `RNNModel` on ten monthly series."""
    from darts import TimeSeries
    from darts.models import RNNModel

    model = RNNModel(
        model=kind,
        input_chunk_length=24,
        training_length=96,
        hidden_dim=64,
        batch_size=32,
        n_epochs=1,
        random_state=0,
        pl_trainer_kwargs=quiet(callbacks=[seen := batches_of("pytorch_lightning")]),
    )
    model.fit([TimeSeries.from_values(series) for series in seasonal(10, 240)])
    return Training(model.model, lightning_step(model.model), seen.batches)


def pytorch_forecasting(kind: str) -> Training:
    """The forecaster `DeepAR` on a hundred series; its layers are subclasses of torch's."""
    import pandas as pd
    from lightning.pytorch import Trainer
    from pytorch_forecasting import DeepAR, TimeSeriesDataSet

    table = pd.concat(
        (
            pd.DataFrame({"value": series, "series": str(place), "time": range(len(series))})
            for place, series in enumerate(seasonal(100, 200))
        ),
        ignore_index=True,
    )
    data = TimeSeriesDataSet(
        table,
        time_idx="time",
        target="value",
        group_ids=["series"],
        max_encoder_length=60,
        max_prediction_length=20,
        time_varying_unknown_reals=["value"],
    )
    model = DeepAR.from_dataset(data, cell_type=kind, hidden_size=64, rnn_layers=2, dropout=0.0)
    loader = data.to_dataloader(train=True, batch_size=64, num_workers=0)
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=8,
        **quiet(callbacks=[seen := batches_of("lightning.pytorch")]),
    )
    trainer.fit(model, loader)
    return Training(model, lightning_step(model), seen.batches)


def stanza(kind: str) -> Training:
    """The part-of-speech tagger on sentences of 4 to 40 words: highway LSTMs, packed."""
    from stanza.models.pos.data import Dataset
    from stanza.models.pos.trainer import Trainer
    from stanza.models.tagger import parse_args
    from stanza.utils.conll import CoNLL

    with tempfile.TemporaryDirectory() as directory:
        corpus = Path(directory) / "made-up.conllu"
        corpus.write_text(sentences(256))
        options = ["--no_pretrain", "--dropout", "0", "--word_dropout", "0", "--cpu"]
        options += ["--train_file", str(corpus), "--shorthand", "en_made-up", "--lang", "en"]
        arguments = parse_args(options)
        document = CoNLL.conll2doc(input_file=str(corpus))
    vocabulary = Dataset.init_vocab([document], arguments)
    data = Dataset(document, arguments, None, vocab=vocabulary)
    trainer = Trainer(args=arguments, vocab=vocabulary, device="cpu")
    return Training(trainer.model, trainer.update, list(data.to_loader(batch_size=32)))


PACKAGES: dict[str, tuple[str, Callable[[str], Training], list[str]]] = {
    "darts RNNModel": ("darts", darts, ["LSTM", "GRU"]),
    "pytorch-forecasting DeepAR": ("pytorch_forecasting", pytorch_forecasting, ["LSTM", "GRU"]),
    "stanza tagger": ("stanza", stanza, ["LSTM"]),
}


def seasonal(count: int, steps: int) -> Iterator[np.ndarray]:
    """Made-up series with a season of 12 steps."""
    draw = np.random.default_rng(0)
    for phase in draw.uniform(0, 12, count):
        season = np.sin((np.arange(steps) + phase) * 2 * np.pi / 12)
        yield (season + draw.normal(0, 0.1, steps)).astype(np.float32)


def sentences(count: int) -> str:
    """Made-up sentences in the CoNLL-U format."""
    draw = random.Random(0)
    words = [("".join(draw.choices("aeiouklmnprst", k=draw.randint(2, 9)))) for _ in range(500)]
    tags = ["NOUN", "VERB", "ADJ", "DET", "ADP"]
    lines = []
    for _ in range(count):
        for place in range(1, draw.randint(4, 40) + 1):
            word = draw.choice(words)
            tag = tags[len(word) % len(tags)]
            lines.append(f"{place}\t{word}\t{word}\t{tag}\t{tag[:2]}\t_\t{place - 1}\tdep\t_\t_")
        lines.append("")
    return "\n".join(lines) + "\n"


def quiet(**options: Any) -> dict[str, Any]:
    """A trainer of Lightning that leaves nothing behind."""
    silent = ("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger")
    return {"accelerator": "cpu", **dict.fromkeys(silent, False), **options}


def batches_of(lightning: str) -> Any:
    """A callback of Lightning that keeps the batches of a training."""

    class Batches(importlib.import_module(lightning).Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: list[Any] = []

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, place: int) -> None:
            self.batches.append(copy.deepcopy(batch))

    return Batches()


def lightning_step(module: Any) -> Callable[[Any], float]:
    module.train()
    module.trainer.training = True
    module.log = lambda *_, **__: None  # the trainer collects no results outside its own loop
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)

    def step(batch: Any) -> float:
        optimizer.zero_grad()
        result = module.training_step(batch, 0)
        loss = result["loss"] if isinstance(result, dict) else result
        loss.backward()
        optimizer.step()
        return float(loss)

    return step


def compare(name: str, plain: Training, fast: Training, rounds: int) -> None:
    """Take steps turn by turn, the second accelerated, and print what they took."""
    fast.model.load_state_dict(plain.model.state_dict())
    done = gated.accelerate(fast.model)
    times: list[list[float]] = [[], []]
    apart = 0.0
    for round_ in range(rounds + 1):
        for batch in plain.batches:
            losses = []
            for training, taken in zip((plain, fast), times, strict=True):
                torch.manual_seed(round_)
                start = time.perf_counter()
                losses.append(training.step(batch))
                if round_:  # the first one warms up
                    taken.append(time.perf_counter() - start)
            apart = max(apart, abs(losses[0] - losses[1]) / abs(losses[0]))
    before, after = (1e3 * statistics.median(taken) for taken in times)
    print(
        f"{name}: {before:.1f} ms a step before, {after:.1f} ms after, {before / after:.2f} times "
        f"as fast; losses at most {apart:.1e} apart; {len(done.replaced)} replaced, "
        f"{len(done.left)} left"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=4, help="times through the batches")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # the packages' own
    logging.disable(logging.WARNING)
    for name, (package, prepare, kinds) in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name}: not installed")
            continue
        for kind in kinds:
            compare(f"{name}, {kind}", prepare(kind), prepare(kind), options.rounds)


if __name__ == "__main__":
    main()
