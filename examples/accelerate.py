"""What `gated.accelerate` does to the training and forecasts of published packages, unchanged.

    pip install darts pytorch-lightning pytorch-forecasting stanza gluonts
    python examples/accelerate.py

Two copies of each package's model take the package's own training steps on the same batches, turn
by turn, one of them accelerated; then they forecast, which calls the layer one step at a time.
Printed are the medians of the time that passed and of the processor's time, the median of the
turns' ratios of the latter, and how far apart losses and forecasts are at most, relative to their
size. Packages that are not installed are left out. The data are made up, and as large as those that
the packages' tutorials use.
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


class Package(NamedTuple):
    """A package's model, and how the package trains it and forecasts with it."""

    model: nn.Module
    step: Callable[[Any], float] | None
    """One training step on a batch; gives the loss. None if only forecasts are compared."""
    batches: list[Any]
    forecast: Callable[[], Any] | None = None
    """Forecasts, one step of the layer after the other."""


def darts(kind: str) -> Package:
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
    ten = [TimeSeries.from_values(series) for series in seasonal(10, 240)]
    model.fit(ten)

    def forecast() -> Any:
        return model.predict(60, series=ten[0], verbose=False).values()

    return Package(model.model, lightning_step(model.model), seen.batches, forecast)


def pytorch_forecasting(kind: str) -> Package:
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
    few = next(iter(data.to_dataloader(train=False, batch_size=8, num_workers=0)))[0]

    def forecast() -> Any:
        model.eval()
        with torch.no_grad():
            return model(few, n_samples=20)["prediction"]

    return Package(model, lightning_step(model), seen.batches, forecast)


def gluonts(kind: str) -> Package:
    """The forecaster `DeepAR` of GluonTS on one daily series: its module, with made-up lags."""
    from gluonts.torch.model.deepar.module import DeepARModel

    torch.manual_seed(0)
    module = DeepARModel(
        freq="D",
        context_length=30,
        prediction_length=30,
        num_feat_dynamic_real=3,
        num_feat_static_real=1,
        num_feat_static_cat=1,
        cardinality=[1],
        num_parallel_samples=100,
    ).eval()
    past, length = module._past_length, 30
    given = {
        "feat_static_cat": torch.zeros(1, 1, dtype=torch.long),
        "feat_static_real": torch.zeros(1, 1),
        "past_time_feat": torch.randn(1, past, 3),
        "past_target": torch.from_numpy(next(seasonal(1, past)))[None],
        "past_observed_values": torch.ones(1, past),
        "future_time_feat": torch.randn(1, length, 3),
    }

    def forecast() -> Any:
        with torch.no_grad():
            return module(**given)

    return Package(module, None, [], forecast)


def stanza(kind: str) -> Package:
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
    return Package(trainer.model, trainer.update, list(data.to_loader(batch_size=32)))


PACKAGES: dict[str, tuple[str, Callable[[str], Package], list[str]]] = {
    "darts RNNModel": ("darts", darts, ["LSTM", "GRU"]),
    "pytorch-forecasting DeepAR": ("pytorch_forecasting", pytorch_forecasting, ["LSTM", "GRU"]),
    "GluonTS DeepAR": ("gluonts", gluonts, ["LSTM"]),
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


class Turns:
    """The times of two, and how far apart their results are."""

    def __init__(self) -> None:
        self.passed: tuple[list[float], list[float]] = ([], [])
        self.computed: tuple[list[float], list[float]] = ([], [])
        self.apart = 0.0

    def take(self, both: tuple[Callable[[], Any], Callable[[], Any]], turn: int) -> None:
        """Run both, the one that began the turn before second, with the same random numbers."""
        results: list[Any] = [None, None]
        for place in ((0, 1), (1, 0))[turn % 2]:
            torch.manual_seed(turn)
            start = time.perf_counter(), time.process_time()
            results[place] = both[place]()
            if turn:  # the first one warms up
                self.passed[place].append(time.perf_counter() - start[0])
                self.computed[place].append(time.process_time() - start[1])
        plain, fast = (np.asarray(result, np.float64) for result in results)
        self.apart = max(self.apart, float(np.abs(plain - fast).max() / np.abs(plain).max()))

    def __str__(self) -> str:
        passed, computed = (
            " and ".join(f"{1e3 * statistics.median(taken):.1f} ms" for taken in times)
            for times in (self.passed, self.computed)
        )
        ratios = sorted(plain / fast for plain, fast in zip(*self.computed, strict=True))
        quarter = len(ratios) // 4
        return (
            f"{passed} before and after, of the processors {computed}: "
            f"{statistics.median(ratios):.2f} times as fast ({ratios[quarter]:.2f} to "
            f"{ratios[-1 - quarter]:.2f} in half of {len(ratios)} turns), at most "
            f"{self.apart:.1e} apart"
        )


def compare(name: str, plain: Package, fast: Package, rounds: int, turns: int) -> None:
    """Train and forecast turn by turn, the second accelerated, and print what it took."""
    fast.model.load_state_dict(plain.model.state_dict())
    done = gated.accelerate(fast.model)
    if plain.forecast and fast.forecast:
        forecasts = Turns()
        for turn in range(turns + 1):
            forecasts.take((plain.forecast, fast.forecast), turn)
        print(f"{name}, forecast: {forecasts}", flush=True)
    if rounds and plain.step and fast.step:
        steps, one, other = Turns(), plain.step, fast.step
        for model in (plain.model, fast.model):
            model.train()
        for round_ in range(rounds + 1):
            for batch in plain.batches:
                steps.take((lambda b=batch: one(b), lambda b=batch: other(b)), round_)
        print(f"{name}, training step: {steps}", flush=True)
    print(f"{name}: {len(done.replaced)} layers replaced, {len(done.left)} left", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=4, help="times through the batches")
    parser.add_argument("--turns", type=int, default=30, help="forecasts of each")
    parser.add_argument("--only", default="", help="packages whose name has this in it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # the packages' own
    logging.disable(logging.WARNING)
    for name, (package, prepare, kinds) in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name}: not installed")
            continue
        for kind in kinds if options.only in name else ():
            both = prepare(kind), prepare(kind)
            compare(f"{name}, {kind}", *both, options.rounds, options.turns)


if __name__ == "__main__":
    main()
