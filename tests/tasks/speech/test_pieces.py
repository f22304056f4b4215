"""Long recordings in pieces, and doubts about bare samples."""

from __future__ import annotations

import numpy as np
import pytest

from gated.tasks.speech.features import log_mel
from gated.tasks.speech.pieces import pieces_of
from gated.tasks.speech.raw_sound import Doubts, interleaved, likelier_rate
from gated.tasks.speech.search import Word
from gated.tasks.speech.subtitles import captions, to_srt, to_vtt

for needed in ("soxr", "kaldi_native_fbank"):
    pytest.importorskip(needed)

RATE = 1000


def noise(seconds: float, level: float = 0.3) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, level, round(seconds * RATE))
    return samples.astype(np.float32)


def blocks(samples: np.ndarray, size: int) -> list[np.ndarray]:
    return [samples[at : at + size] for at in range(0, len(samples), size)]


@pytest.mark.parametrize("size", [7, 400, 100_000])
def test_a_recording_is_cut_in_its_longest_pause(size: int) -> None:
    spoken = [noise(3), noise(0.3, 1e-3), noise(2), noise(0.8, 1e-3), noise(3), noise(0.2, 1e-3)]
    samples = np.concatenate([*spoken, noise(2)])
    pieces = list(pieces_of(blocks(samples, size), RATE, 8.0))
    # Pauses in the last two thirds of 8 s: 3 to 3.3 and 5.3 to 6.1 s; cut at 5.7.
    assert [piece.begin for piece in pieces] == [0.0, pytest.approx(5.7, abs=0.011)]
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), samples)


def test_without_a_pause_it_is_cut_where_it_is_quietest() -> None:
    samples = np.concatenate([noise(4), noise(0.3, 0.15), noise(6)])
    pieces = list(pieces_of([samples], RATE, 6.0))
    assert 4 < pieces[1].begin < 4.3
    assert all(len(piece.samples) <= 6 * RATE for piece in pieces)


def test_silent_pieces_are_left_out_and_times_stay() -> None:
    samples = np.concatenate([noise(1), noise(20, 1e-5), noise(1)])
    pieces = list(pieces_of(blocks(samples, 50), RATE, 4.0))
    assert len(pieces) == 2
    assert pieces[0].begin == 0
    last = pieces[1]
    assert last.begin + len(last.samples) / RATE == pytest.approx(22)
    assert list(pieces_of([noise(3, 1e-5)], RATE, 1.0)) == []


def test_subtitles_are_short_and_begin_anew_after_a_pause() -> None:
    words = [Word("longer", 0.5 * k, 0.5 * k + 0.4, 0.9) for k in range(20)]
    words += [Word("after", 15.0, 15.5, 0.2), Word("<all>", 16.0, 16.5, 0.8)]
    shown = list(captions(words))
    assert [word for of in shown for word in of] == words
    assert shown[-1] == words[-2:]
    for of in shown:
        assert of[-1].end - of[0].start <= 7
        assert sum(len(word.text) + 1 for word in of) <= 2 * 43
    srt = to_srt(words)
    assert f"{len(shown)}\n00:00:15,000 --> 00:00:16,500\nafter <all>\n" in srt
    assert "<c.unsure>after</c> <00:00:16.000>&lt;all&gt;" in to_vtt(words)
    assert to_srt([]) == ""


def voice(rate: int, seconds: float = 4.0) -> np.ndarray:
    """Something like a voice: harmonics of 120 Hz below 4 kHz, weaker above, in syllables."""
    time = np.arange(round(seconds * rate)) / rate
    harmonics = [
        np.sin(2 * np.pi * 120 * k * time + k * k) / k for k in range(1, min(33, rate // 250))
    ]
    samples = 0.1 * sum(harmonics) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    hiss = 1e-3 * np.random.default_rng(1).normal(size=len(time))
    return (samples + hiss).astype(np.float32)


def test_two_channels_in_turn_are_noticed() -> None:
    one, other = voice(8000), np.roll(voice(8000), 3001)
    assert not interleaved(one)
    assert not interleaved(noise(4))
    for second in (one, 0.5 * one, 0 * one, other, -one):
        assert interleaved(np.stack([one, second], 1).ravel())


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_wrong_rate_is_noticed(rate: int) -> None:
    mean = log_mel(voice(16000), 16000, 40).mean(0)
    for stated in (8000, 16000, 44100, 48000):
        close = max(rate, stated) < 1.3 * min(rate, stated)
        found = likelier_rate(voice(rate), stated, mean, 16000)
        assert found is None if close else found is not None, (stated, found)


def test_doubts_are_told_once_and_not_of_silence() -> None:
    mean = log_mel(voice(16000), 16000, 40).mean(0)
    told = Doubts(mean, 16000, 8000)
    assert told.take(np.zeros(80_000, np.float32)) == []
    doubts = [doubt for block in blocks(voice(16000), 640) for doubt in told.take(block)]
    assert len(doubts) == 1
    assert "is --rate 8000 right?" in doubts[0]
    both = Doubts(mean, 16000, 32000)
    stereo = np.repeat(voice(16000), 2)
    (doubt,) = (doubt for block in blocks(stereo, 640) for doubt in both.take(block))
    assert "--channels 2" in doubt
    right = Doubts(mean, 16000, 16000)
    assert [doubt for block in blocks(voice(16000), 640) for doubt in right.take(block)] == []
