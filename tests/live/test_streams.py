"""One answer: as a whole, in parts, step by step, beside others, on any number of threads."""

import threading

import numpy as np
import pytest
from tests.live.programs import causal, gru, model, random

from gated.core import native
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.live.program import Writer


def sequences() -> list[np.ndarray]:
    """Return sequences of several lengths, with missing values."""
    draw = np.random.default_rng(1)
    found = [draw.normal(size=(length, 2)) for length in (12, 1, 3, 30, 9)]
    for of in found:
        of[draw.random(of.shape) < 0.2] = np.nan
    return found


def test_a_stream_in_any_parts_gives_the_bits_of_the_whole() -> None:
    of = model(*causal())
    for x in sequences():
        pushed = [out for out in map(of.stream().push, x) if out is not None]
        stream = of.stream()
        parts = np.concatenate([stream.push_many(x[:5]), stream.push_many(x[5:])])
        assert stream.steps == len(x)
        assert len(pushed) == len(parts) == len(x) // 3
        if len(parts):
            np.testing.assert_array_equal(np.stack(pushed), parts)
        if len(x) % 3 == 0:
            np.testing.assert_array_equal(parts[-1], of(x))


def test_a_sequence_gives_the_same_bits_alone_beside_others_and_on_more_threads() -> None:
    of, xs = model(*causal()), sequences()
    together = of(xs)
    for x, found in zip(xs, together, strict=True):
        np.testing.assert_array_equal(of(x), found)
    try:
        native.set_threads(1)
        np.testing.assert_array_equal(of(xs), together)
    finally:
        native.set_threads(None)


def test_many_sequences_take_a_step_together() -> None:
    of = model(*causal())
    x = np.random.default_rng(2).normal(size=(9, 4, 2))
    side_by_side = of.stream(sequences=4)
    found = np.stack([out for out in map(side_by_side.push, x) if out is not None])
    for b in range(4):
        np.testing.assert_array_equal(found[:, b], of.stream().push_many(x[:, b]))
    assert found.shape == (3, 4, 3)


def test_many_streams_take_a_step_in_one_call() -> None:
    """Also those that are at another step of a patch."""
    of = model(*causal())
    xs = np.random.default_rng(3).normal(size=(3, 8, 2))
    streams, alone = [of.stream() for _ in xs], [of.stream() for _ in xs]
    for at, (one, other) in enumerate(zip(streams, alone, strict=True)):
        one.push_many(xs[at, :at])
        other.push_many(xs[at, :at])
    for step in range(4):
        now = [xs[at, at + step] for at in range(3)]
        found = of.push(streams, now)
        for out, stream, x in zip(found, alone, now, strict=True):
            wanted = stream.push(x)
            assert (out is None) == (wanted is None)
            if wanted is not None:
                np.testing.assert_array_equal(out, wanted)
    assert [one.state() for one in streams] == [one.state() for one in alone]
    with pytest.raises(DataError, match="given twice"):
        of.push([streams[0], streams[0]], xs[:2, 0])
    with pytest.raises(DataError, match="3 streams were given 2 steps"):
        of.push(streams, xs[:2, 0])
    for wrong in (np.array([0.5]), np.array([0.5, np.inf]), np.array(["a", "b"])):
        with pytest.raises(DataError) as of_one:
            streams[1].push(wrong)
        with pytest.raises(DataError) as of_many:
            of.push(streams, [xs[0, 0], wrong, xs[0, 1]])
        assert str(of_many.value) == str(of_one.value)
    assert [one.state() for one in streams] == [one.state() for one in alone]


def test_a_state_goes_to_bytes_and_back() -> None:
    of, x = model(*causal()), sequences()[3]
    stream = of.stream()
    stream.push_many(x[:10])
    stored = stream.state()
    rest = stream.push_many(x[10:])
    again = of.stream(state=stored)
    assert again.steps == 10
    np.testing.assert_array_equal(again.push_many(x[10:]), rest)
    assert again.state() == stream.state()


def test_a_damaged_or_foreign_state_is_refused_and_changes_nothing() -> None:
    of = model(*causal())
    stream = of.stream()
    stream.push_many(sequences()[0])
    stored = stream.state()
    for at in range(len(stored)):
        flipped = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        with pytest.raises(ModelFileError, match=r"no state of a stream|is damaged"):
            stream.restore(flipped)
        with pytest.raises(ModelFileError, match=r"no state of a stream|is damaged"):
            stream.restore(stored[:at])
    for wrong in (None, "state", 3):
        with pytest.raises(ModelFileError, match=f"not {type(wrong).__name__}"):
            stream.restore(wrong)
    assert stream.state() == stored
    stream.restore(memoryview(stored))
    with pytest.raises(ModelFileError, match="sequences=None, and this one has 2"):
        of.stream(sequences=2).restore(stored)
    other = model(*causal())
    other.digest = bytes(31) + b"\1"
    with pytest.raises(ModelFileError, match="another model"):
        other.stream(state=stored)


def test_reset_begins_anew() -> None:
    of, x = model(*causal()), sequences()[0]
    stream = of.stream()
    first = stream.push_many(x)
    stream.reset()
    np.testing.assert_array_equal(stream.push_many(x), first)


def test_threads_share_a_model() -> None:
    of, x = model(*causal()), sequences()[3]
    wanted = of.stream().push_many(x)
    found: list[np.ndarray] = []

    def read() -> None:
        stream = of.stream()
        found.append(np.stack([out for out in map(stream.push, x) if out is not None]))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 8
    for out in found:
        np.testing.assert_array_equal(out, wanted)


def test_weights_cannot_be_changed() -> None:
    values, arrays = causal()
    of = model(values, arrays)
    layer = of.program.layers[of.program.names.index("linear")]
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 1  # type: ignore[attr-defined]


def test_what_cannot_be_read_takes_no_step() -> None:
    of = model(*causal())
    stream = of.stream()
    for x, message in (
        (np.zeros(3), r"must have the shape \(steps, 2\)"),
        (np.array([1.0, np.inf]), "inf at step 0"),
        (np.array(["a", "b"]), "must be numbers"),
        ("ab", "reads numbers"),
    ):
        with pytest.raises(DataError, match=message):
            stream.push(x)
    assert stream.steps == 0
    with pytest.raises(DataError, match="has no step"):
        of(np.zeros((0, 2)))
    with pytest.raises(DataError, match="at least 1"):
        of.stream(sequences=0)


def test_later_steps_cannot_be_streamed() -> None:
    writer = Writer("numbers", 2)
    both = writer.add(
        "recurrent", writer.input, cell="gru", weights="r.", layers=1, units=3, directions=2
    )
    end = writer.add("last", both, directions=2)
    shapes = gru(3, 2) | {f"{name}_reverse": shape for name, shape in gru(3, 2).items()}
    of = model(writer.program("numbers", end), random(0, **shapes))
    assert not of.streams
    with pytest.raises(ConfigurationError, match="recurrent, last read later steps"):
        of.stream()


def test_codes_are_given_as_text_or_numbers() -> None:
    writer = Writer("codes", 4, unit="character", points=[ord("c"), ord("a"), ord("b")])
    found = writer.add("embedding", writer.input, weight="e.weight")
    of = model(writer.program("logits", found), random(0, e__weight=(4, 2)))
    rows = of.program.layers[0].weight  # type: ignore[attr-defined]
    np.testing.assert_array_equal(of("acz"), rows[[2, 1, 0]])
    np.testing.assert_array_equal(of(["b", "cc"])[1], rows[[1, 1]])
    np.testing.assert_array_equal(of(np.array([3, 0])), rows[[3, 0]])
    np.testing.assert_array_equal(of.stream().push("b"), rows[3])
    np.testing.assert_array_equal(of.stream(sequences=2).push(np.array([1, 2])), rows[[1, 2]])
    for x, message in (("ab", "2 steps"), (4, "from 0 to 3"), (0.5, "must be codes")):
        with pytest.raises(DataError, match=message):
            of.stream().push(x)
