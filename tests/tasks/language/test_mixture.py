"""N-grams mixed into a language model, and what unknown characters cost."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.comparison import assert_agree

import gated
from gated.core import ngrams as of_ngrams
from gated.core.ngrams import NGrams
from gated.errors import ModelFileError, ProgramError
from gated.live.emit_c import source
from gated.live.model import read_arrays, write
from gated.live.program import Program
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining
from gated.tasks.language.generation import Sampling
from gated.tasks.language.mixture import Mixture
from gated.tasks.language.model import NGRAMS
from gated.tasks.language.ngrams import best_ngrams

SMALL = LanguageConfig(hidden=4, embedding=4, window=16)
SHORT = LanguageTraining(steps=2, batch_size=4, no_baseline=True)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    random = np.random.default_rng(0)
    again = np.tile(random.integers(1, 6, 9), 40)
    return np.concatenate([random.integers(1, 6, 900), again]).astype(np.uint16)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "repeated.txt"
    path.write_text("the gate opens, and the gate shuts again.\n" * 300)
    return path


@pytest.fixture(scope="module")
def model(repeated: Path) -> LanguageModel:
    return LanguageModel(SMALL, SHORT).fit([repeated])


@pytest.mark.parametrize("order", [0, 1, 4])
def test_what_follows_has_the_probability_of_what_is_looked_up(
    codes: np.ndarray, order: int
) -> None:
    ngrams = NGrams.of(codes, 7, order)
    probability, met = ngrams.looked_up(codes)
    for place in (1, 5, 50, 899, 1200):
        every, kinds = ngrams.following(codes[None, max(0, place - order) : place])
        assert every.sum() == pytest.approx(1)
        assert every[0, codes[place]] == pytest.approx(probability[place], abs=1e-12)
        assert kinds[0] == met[place]
    if order > 1:  # the text ends with a run that nothing follows
        ends = NGrams.of(np.append(codes, [5, 6]), 7, order)
        after, kinds = ends.following(np.array([[1, 5, 6]], np.uint16))
        first, kind = ends.following(np.zeros((1, 0), np.uint16))
        np.testing.assert_array_equal(after, first)
        assert kinds[0] == kind[0]
    unmet, kinds = ngrams.following(np.full((1, 3), 6, np.uint16))
    assert unmet[0] == pytest.approx(ngrams.following(np.zeros((1, 0), np.uint16))[0][0])


def test_shorter_n_grams_are_those_that_are_counted_so(codes: np.ndarray) -> None:
    counted = NGrams.of(codes, 7, 5)
    assert counted.up_to(9) is counted
    for order in (0, 2, 4):
        shorter, alone = counted.up_to(order), NGrams.of(codes, 7, order)
        np.testing.assert_array_equal(shorter.bits_of(codes[::-1]), alone.bits_of(codes[::-1]))
        every = shorter.following(codes[None, 40:49])[0]
        np.testing.assert_array_equal(every, alone.following(codes[None, 40:49])[0])
    assert counted.order == 5


def test_many_n_grams_ascend() -> None:
    """Numbers of more than 16 and 32 bits, in the order in which they come."""
    random = np.random.default_rng(1)
    keys = random.integers(1 << 40, size=3000, dtype=np.uint64)
    keys[::7] = keys[0]
    np.testing.assert_array_equal(of_ngrams._ascending(keys), np.argsort(keys, kind="stable"))
    assert not len(of_ngrams._ascending(keys[:0]))


def test_longer_contexts_are_counted_where_all_shorter_ones_help() -> None:
    random = np.random.default_rng(2)
    marks = np.arange(800) % 8 + 1  # each ten codes after the one that it follows from
    text = np.stack([marks, *[np.zeros(800, int)] * 9], axis=1).ravel().astype(np.uint16)
    assert best_ngrams(text[:6000], text[6000:], 9).order >= 10
    noise = random.integers(1, 9, 6000).astype(np.uint16)
    assert best_ngrams(noise[:5000], noise[5000:], 9).order <= 1


def test_n_grams_count_where_they_know_more_than_the_network(codes: np.ndarray) -> None:
    counted, held = codes[:1100], codes[1100:]
    ngrams = NGrams.of(counted, 7, 4)
    network = np.full(len(held) - 1, 0.2)
    mixture = Mixture.fitted(ngrams, network, held)
    assert mixture is not None
    mixed = mixture.probabilities(network, held)
    assert np.log(mixed).mean() > np.log(network).mean() + 0.5
    assert mixture.shares.min() < 0.2
    every = mixture.following(np.full((1, 7), 1 / 7), held[None, :9])
    assert every.sum() == pytest.approx(1)
    assert Mixture.fitted(ngrams, np.full(len(held) - 1, 0.999), held) is None, "nothing to add"


def test_what_is_saved_mixes_the_same(codes: np.ndarray) -> None:
    ngrams = NGrams.of(codes, 7, 3)
    mixture = Mixture(ngrams, np.linspace(0, 1, 16))
    network = np.full(len(codes) - 1, 0.3)
    again = Mixture.from_bytes(mixture.to_bytes(), 7)
    np.testing.assert_array_equal(
        again.probabilities(network, codes), mixture.probabilities(network, codes)
    )
    with pytest.raises(ValueError, match="n-grams of 7 codes, not of 8"):
        Mixture.from_bytes(mixture.to_bytes(), 8)
    with pytest.raises(ValueError, match="shares"):
        Mixture(ngrams, np.linspace(0, 2, 16))
    grams, counts = ngrams.counted[1]
    with pytest.raises(ValueError, match="ascend"):
        NGrams(7, [ngrams.counted[0], (grams[::-1], counts)])
    with pytest.raises(ValueError, match="17 lengths"):
        NGrams(7, [ngrams.counted[0]] * 17)


def test_a_model_with_n_grams_is_scored_saved_and_writes_with_them(
    model: LanguageModel, repeated: Path, tmp_path: Path
) -> None:
    assert model.mixture is not None
    score = model.score()
    assert score.alone is not None
    assert score.bits["LSTM with n-grams"] < 0.3 < 3 < score.alone, (
        "two steps teach the network nothing"
    )
    model.save(tmp_path)
    again = LanguageModel.load(tmp_path)
    assert again.evaluate([repeated]).bits == model.evaluate([repeated]).bits
    greedy = Sampling(temperature=0)
    prompts = ["the gate op", "and the gate sh"]
    written = ["ens, and the", "uts again.\nt"]
    assert again.generate(prompts, length=12, sampling=greedy) == written
    again.mixture = None
    assert again.generate(prompts, length=12, sampling=greedy) != written


def test_n_grams_of_another_vocabulary_are_refused(model: LanguageModel, tmp_path: Path) -> None:
    other = Mixture(NGrams.of(np.array([1, 2, 1], np.uint16), 3, 1), np.full(8, 0.5))
    model.save(tmp_path)
    kept, model.mixture = model.mixture, other
    try:
        assert list(model.attached()) == [NGRAMS]
        model.save(tmp_path)
    finally:
        model.mixture = kept
    with pytest.raises(ModelFileError, match="n-grams of 3 codes"):
        LanguageModel.load(tmp_path)


def test_n_grams_of_an_earlier_version_are_named(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    path = next(tmp_path.glob("ngrams-*"))
    for earlier in ("grams0", "steps0"):  # of characters, and of words as whole numbers
        with pytest.raises(ValueError, match="an earlier version of gated; fit the run anew"):
            Mixture.from_bytes(_with(path.read_bytes(), earlier), len(model.vocabulary))


def _with(data: bytes, name: str) -> bytes:
    """Replace the steps by numbers, under this name."""
    with np.load(io.BytesIO(data)) as arrays:
        kept = {of: arrays[of] for of in arrays if of != "steps0"}
    file = io.BytesIO()
    np.savez(file, **kept, **{name: np.arange(3, dtype=np.uint64)})
    return file.getvalue()


def test_n_grams_can_be_left_out(repeated: Path) -> None:
    config = LanguageConfig(hidden=4, embedding=4, window=16, no_ngrams=True)
    model = LanguageModel(config, SHORT).fit([repeated])
    assert (model.mixture, model.score().alone, model.attached()) == (None, None, {})


def test_which_unknown_character_it_is_counts(model: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "tang.txt"
    path.write_text("床前明月光疑是地上霜" * 30)
    score = model.evaluate([path])
    assert score.unknown == 300
    assert score.bits["LSTM with n-grams"] > 20, "one of a million"
    known = model.evaluate([_written(tmp_path / "known.txt", "the gate opens. " * 30)])
    assert known.bits["LSTM with n-grams"] < 8


def test_compressors_read_unknown_characters_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    known = "".join(random.choice(list("abc"), 4000))
    unknown = "".join(map(chr, random.integers(0x4E00, 0x9000, 200)))
    path = _written(tmp_path / "text.txt", known + unknown)
    options = LanguageTraining(steps=1, batch_size=4)
    score = LanguageModel(LanguageConfig(hidden=4, embedding=4), options).fit([path]).score()
    assert score.unknown == 200
    assert score.bits["xz"] > 12
    (ngrams,) = (bits for name, bits in score.bits.items() if name[0].isdigit())
    assert min(score.bits["LSTM with n-grams"], ngrams) > 15


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_the_program_mixes_n_grams_in(model: LanguageModel, tmp_path: Path) -> None:
    assert model.mixture is not None
    model.save(tmp_path / "run")
    live = gated.load(tmp_path / "run")
    said = "the gate opens, and the gate ☃ shuts"
    codes = model.codes_of(said)
    with torch.no_grad():
        network = torch.softmax(model.network.eval()(codes[:, None]).logits.double(), -1)[:, 0]
    wanted = [
        model.mixture.following(network[step : step + 1].numpy(), codes[None, : step + 1].numpy())
        for step in range(len(codes))
    ]
    found = live(said)
    assert_agree(found, np.concatenate(wanted), "probabilities", relative=1e-5, absolute=1e-7)
    assert found[9].max() > 0.9 > network[9].max(), "n-grams know it by heart"
    rows, following = np.arange(len(codes) - 1), codes[1:].numpy()
    alone = network.numpy()[rows, following]
    scored = model.mixture.probabilities(alone, codes.numpy())
    assert_agree(found[rows, following], scored, "as in scores", relative=1e-4, absolute=1e-7)
    stream = live.stream()
    first = stream.push_many(said[:7])
    again = live.stream(state=stream.state())
    parts = [first, *(again.push(letter)[None] for letter in said[7:])]
    np.testing.assert_array_equal(np.concatenate(parts), found)
    both = [live.stream(), live.stream()]
    for letter, other in zip(said, said[::-1], strict=True):
        together = live.push(both, [letter, other])
    np.testing.assert_array_equal(together[0], found[-1])
    np.testing.assert_array_equal(live([said, said[:5]])[1], found[:5])
    with pytest.raises(ProgramError, match=r"'ngrams' is not written in C yet.*--no-ngrams"):
        source(live, "texts")
    write(tmp_path / "alone", live.program.values, read_arrays(tmp_path / "run"), live.task)
    np.testing.assert_array_equal(gated.load(tmp_path / "alone")(said), found)


def test_damaged_n_grams_are_refused_by_name(model: LanguageModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    arrays, values = read_arrays(tmp_path), gated.load(tmp_path).program.values
    grams = arrays["ngrams.steps1"]
    for changed, message in (
        ({"ngrams.steps1": grams[:, :-1]}, "damaged: n-grams ascend"),
        ({"ngrams.steps1": np.zeros_like(grams)}, "damaged: n-grams ascend"),
        ({"ngrams.steps1": grams[:3]}, r"'ngrams.steps1' as uint8 of the shape \(8, any\)"),
        ({"ngrams.shares": arrays["ngrams.shares"] + 2}, "damaged: shares"),
        ({"ngrams.shares": arrays["ngrams.shares"][1:]}, "'ngrams.shares' as float64"),
    ):
        with pytest.raises(ModelFileError, match="'ngrams'.*" + message):
            Program(values, arrays | changed)
    layer = next(of for of in values["layers"] if of["layer"] == "ngrams")
    for options, message in (
        ({"order": 9}, "'ngrams.shares' as float64"),
        ({"of": ["input", "embedding"]}, "a probability for each of them"),
    ):
        layers = [{**of, **options} if of is layer else of for of in values["layers"]]
        with pytest.raises(ModelFileError, match=message):
            Program({**values, "layers": layers}, arrays)
    path = next(tmp_path.glob("ngrams-*"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelFileError):
        gated.load(tmp_path)
