"""BLEU and chrF by language, baselines, and the verdict."""

import pytest

from gated.tasks.translate.baselines import nearest
from gated.tasks.translate.pairs import Pair
from gated.tasks.translate.score import bleu_tokenizer, evaluate

REFERENCES = ["打开文件并保存到磁盘", "关闭所有的文件和窗口", "打印当前页面的所有内容"] * 4


def test_a_perfect_translation_beats_copying_the_source() -> None:
    sources = ["open the file", "close all files", "print this page"] * 4
    found = evaluate(sources, REFERENCES, {"LSTM": REFERENCES, "source copied": sources})
    assert found.scores["LSTM"].bleu == pytest.approx(100)
    assert found.scores["LSTM"].chrf == pytest.approx(100)
    assert found.scores["source copied"].bleu == 0
    assert "tok:zh" in found.signatures[0]
    assert found.verdict.startswith("LSTM beats the best baseline (source copied): BLEU 100.0")


def test_the_verdict_says_what_is_not_beaten_and_what_was_seen() -> None:
    methods = {"LSTM": REFERENCES[::-1], "nearest": REFERENCES}
    found = evaluate(REFERENCES, REFERENCES, methods, overlap=2)
    assert "LSTM does NOT beat the best baseline (nearest)" in found.verdict
    assert found.verdict.endswith("2 of them were trained on, which flatters it.")
    same = evaluate(REFERENCES, REFERENCES, {"LSTM": REFERENCES, "copy": REFERENCES})
    assert "does NOT clearly beat" in same.verdict


def test_of_too_few_sentences_no_interval_is_told() -> None:
    few = REFERENCES[:9]
    found = evaluate(few, few, {"LSTM": few, "nearest": few[::-1]})
    assert found.verdict.startswith("Too few sentences to say whether LSTM beats nearest: BLEU 100")
    assert found.to_dict()["scores"]["LSTM"]["bleu_error"] is None
    assert found.scores["LSTM"].bleu_with_error == "100.0"
    assert (
        evaluate(few * 2, few * 2, {"LSTM": few * 2, "n": few * 2}).scores["LSTM"].bleu_error == 0
    )


def test_the_tokenizer_goes_by_the_script() -> None:
    assert bleu_tokenizer(["こんにちは世界"]) == "char"
    assert bleu_tokenizer(["สวัสดีชาวโลก"]) == "char"
    assert bleu_tokenizer(["Привет", "мир"]) == "13a"
    assert bleu_tokenizer(["12"]) == "13a"


def test_the_nearest_sentence_is_a_translation_memory() -> None:
    known = [Pair("open the file", "打开文件", 1), Pair("close the window", "关闭窗口", 2)]
    assert nearest(known, ["Open files", "windows closed"]) == ["打开文件", "关闭窗口"]
