"""BLEU and chrF by language, baselines, and the verdict."""

import numpy as np
import pytest

from gated.tasks.learner import document
from gated.tasks.translate.baselines import nearest
from gated.tasks.translate.pairs import Pair
from gated.tasks.translate.score import bleu_tokenizer, bleu_without, evaluate, quick_scores

THINGS = "文件 窗口 页面 图片 表格 字体 颜色 段落 标题 链接 批注 公式".split()  # noqa: SIM905 - a word list reads better
REFERENCES = [f"打开所有的{thing}并保存到磁盘" for thing in THINGS]
"""Twelve, no two the same."""


def test_a_perfect_translation_beats_copying_the_source() -> None:
    sources = [f"open every {letter * 3}" for letter in "abcdefghijkl"]
    found = evaluate(sources, REFERENCES, {"LSTM": REFERENCES, "source copied": sources})
    assert found.scores["LSTM"].bleu == pytest.approx(100)
    assert found.scores["LSTM"].chrf == pytest.approx(100)
    assert found.scores["source copied"].bleu == 0
    assert "tok:zh" in found.signatures[0]
    assert found.verdict.better
    assert str(found.verdict).startswith("LSTM beats the best baseline (source copied): BLEU 100.0")


def test_the_verdict_says_what_is_not_beaten_and_what_was_seen() -> None:
    methods = {"LSTM": [*REFERENCES[1:], ""], "nearest": REFERENCES}
    found = evaluate(REFERENCES, REFERENCES, methods, overlap=2)
    assert found.verdict.outcome == "worse"
    assert str(found.verdict).startswith("LSTM does NOT beat the best baseline (nearest)")
    assert "It wrote nothing for 1 of 12 sentences." in str(found.verdict)
    assert str(found.verdict).endswith("2 of them were trained on, so the score is too good.")
    same = evaluate(REFERENCES, REFERENCES, {"LSTM": REFERENCES, "copy": REFERENCES})
    assert same.verdict.outcome == "undecided"


def test_of_too_few_sentences_no_interval_is_told() -> None:
    few = REFERENCES[:9]
    found = evaluate(few, few, {"LSTM": few, "nearest": few[::-1]})
    assert found.verdict.outcome == "too few"
    assert str(found.verdict).startswith("Too few independent wordings to judge LSTM against")
    assert document(found)["scores"]["LSTM"]["bleu_error"] is None
    assert found.scores["LSTM"].bleu_with_error == "100.0"
    assert (
        evaluate(few * 2, few * 2, {"LSTM": few * 2, "n": few * 2}).scores["LSTM"].bleu_error == 0
    )


def test_bleu_is_judged_by_leaving_each_wording_out() -> None:
    ours = [*REFERENCES[:8], *(text[:9] for text in REFERENCES[8:])]
    rest = [place for place in range(12) if place != 3]
    without = bleu_without(ours, REFERENCES, np.arange(12), "zh")
    expected = quick_scores([ours[k] for k in rest], [REFERENCES[k] for k in rest])["BLEU"]
    assert without[3] == pytest.approx(expected)
    theirs = [text[:9] for text in REFERENCES]
    found = evaluate(REFERENCES, REFERENCES, {"LSTM": ours, "nearest": theirs}).verdict
    assert found.better
    assert 0 < found.low < found.difference < found.high


def test_the_tokenizer_goes_by_the_script() -> None:
    assert bleu_tokenizer(["こんにちは世界"]) == "char"
    assert bleu_tokenizer(["สวัสดีชาวโลก"]) == "char"
    assert bleu_tokenizer(["Привет", "мир"]) == "13a"
    assert bleu_tokenizer(["12"]) == "13a"


def test_the_nearest_sentence_is_a_translation_memory() -> None:
    known = [Pair("open the file", "打开文件", 1), Pair("close the window", "关闭窗口", 2)]
    assert nearest(known, ["Open files", "windows closed"]) == ["打开文件", "关闭窗口"]
