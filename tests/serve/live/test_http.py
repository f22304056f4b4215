"""Predictions over HTTP: those of `gated.load`, and whatever cannot be read is refused in words."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from tests.live.programs import causal, gru, model, random
from tests.serve.asking import announce, ask, running

from gated.cli.app import run
from gated.live import Model, write
from gated.live.program import POINTS, Writer
from gated.serve.bounds import Bounds
from gated.serve.live.server import StreamBounds, create_server

QUICK = Bounds(rate=1e6)
TOKEN = "0123456789abcdef"


def serving(of: Model, **options: Any) -> contextlib.AbstractContextManager[int]:
    """The port of a server of a model."""
    return running(create_server(of, ":memory:", QUICK, StreamBounds(), most_steps=50, **options))


def characters() -> Model:
    """Return a language model of the characters a, b and c."""
    points = [ord(of) for of in "abc"]
    writer = Writer("codes", 4, unit="character", points=points)
    seen = writer.add("embedding", writer.input, weight="e.weight")
    hidden = writer.add("recurrent", seen, cell="gru", weights="r.", layers=1, units=5)
    shares = writer.add("softmax", writer.add("linear", hidden, weight="h.weight", bias="h.bias"))
    values = writer.program("probabilities", shares, labels=["", "a", "b", "c"])
    return model(values, random(1, e__weight=(4, 3), h__weight=(4, 5), h__bias=(4,), **gru(5, 3)))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(model(*causal())) as place:
        yield place


@pytest.fixture(scope="module")
def text_port() -> Iterator[int]:
    with serving(characters()) as place:
        yield place


def test_predictions_are_those_of_the_model_to_the_bit(port: int) -> None:
    draw = np.random.default_rng(3)
    xs = [draw.normal(size=(length, 2)) for length in (7, 1, 30)]
    given = [x.tolist() for x in xs]
    given[2][4][1], xs[2][4, 1] = None, np.nan
    answer = ask(port, "/predict", json.dumps({"inputs": given}))
    assert answer.status == 200
    np.testing.assert_array_equal(answer.body["predictions"], model(*causal())(xs))


def test_a_language_model_predicts_what_follows_a_text(text_port: int) -> None:
    answer = ask(text_port, "/predict", '{"inputs": ["abcab", [1, 2, 3], "é"]}')
    whole = characters()(["abcab", "abc", "x"])
    np.testing.assert_array_equal(answer.body["predictions"], [of[-1] for of in whole])
    answer = ask(text_port, "/predict", '{"inputs": ["abcab"], "all_steps": true}')
    np.testing.assert_array_equal(answer.body["predictions"][0], whole[0])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Invalid JSON"),
        ("[]", '{"inputs": [SEQUENCE, …]}'),
        ('{"inputs": []}', "at least 1 item"),
        ('{"inputs": [[]]}', "inputs.0: List should have at least 1 item"),
        ('{"inputs": [[[1, 2], [1, NaN]]]}', "inputs.0.1.1: Input should be a finite number"),
        ('{"inputs": [[[1, 1e400]]]}', "finite number"),
        ('{"inputs": [[[1, 1e300]]]}', "less than or equal to"),
        ('{"inputs": [[[1, 2, 3]]]}', "a list of 2 numbers, null where a value is missing"),
        ('{"inputs": [[[1, "2"]]]}', "inputs.0.0.1: Input should be a valid number"),
        ('{"inputs": [[[1, true]]]}', "inputs.0.0.1"),
        ('{"inputs": [[1, 2]]}', "inputs.0.0: Input should be a valid array"),
        ('{"inputs": "abc"}', "inputs: Input should be a valid array"),
        ('{"inputs": [[[1, 2]]], "run": "/etc"}', "Extra inputs are not permitted"),
        (r'{"\ud800": 1}', "Invalid JSON"),
        ("[" * 100_000, "recursion limit"),
        ('{"inputs": [[[1, ' + "9" * 5_000 + "]]]}", "number out of range"),
        (json.dumps({"inputs": [[[0, 0]] * 30] * 2}), "60 steps together; 50 are taken"),
        (json.dumps({"inputs": [[[0, 0]] * 51]}), "at most 50 items"),
        (b"\xff\xfe", "Invalid JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_was_expected(
    port: int, body: bytes | str, said: str
) -> None:
    answer = ask(port, "/predict", body)
    assert answer.status == 422
    assert said in answer.body["error"]


@pytest.mark.parametrize(
    "body", [r'{"inputs": ["\udc00"]}', '{"inputs": [""]}', '{"inputs": [[4]]}']
)
def test_texts_and_codes_that_are_none_are_refused(text_port: int, body: str) -> None:
    answer = ask(text_port, "/predict", body)
    assert answer.status == 422
    assert "0 to 3, or a text of one step" in answer.body["error"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=3), of, max_size=2),
    max_leaves=12,
)


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.binary(max_size=30) | json_values.map(lambda of: json.dumps({"inputs": of})))
def test_no_body_makes_the_server_fail(port: int, text_port: int, body: bytes | str) -> None:
    for place in (port, text_port):
        assert ask(place, "/predict", body).status in (200, 422)


def test_a_model_that_reads_texts_takes_texts_alone() -> None:
    points = [ord(of) for of in "abc"]
    writer = Writer("text", POINTS)
    codes = writer.add("encode", writer.input, codes=4, unit="character", points=points)
    hidden = writer.add("last", writer.add("embedding", codes, weight="e.weight"))
    of = model(writer.program("numbers", hidden), random(0, e__weight=(4, 3)))
    with serving(of) as port:
        answer = ask(port, "/predict", '{"inputs": ["abc", "世"]}')
        np.testing.assert_array_equal(answer.body["predictions"], of(["abc", "世"]))
        answer = ask(port, "/predict", '{"inputs": [[1, 2]]}')
        assert answer.status == 422
        assert "a SEQUENCE being a text" in answer.body["error"]


def test_a_large_body_is_refused_by_its_length(port: int) -> None:
    assert announce(port, "/predict", 200_000_000).status == 413


def test_a_page_elsewhere_cannot_ask(port: int) -> None:
    assert ask(port, "/predict", '{"inputs": [[[1, 2]]]}', Content_Type="text/plain").status == 415
    assert ask(port, "/model", Host="elsewhere.example").status == 200  # hosts=None: any
    with serving(characters(), hosts=["localhost"]) as place:
        assert ask(place, "/model", Host="elsewhere.example").status == 400
        assert ask(place, "/model", Host="localhost:1").status == 200


def test_a_token_is_asked_for_but_for_health() -> None:
    with serving(characters(), tokens=["other-other-other", TOKEN]) as place:
        for path in ("/model", "/metrics", "/openapi.json", "/nothing"):
            assert ask(place, path).status == 401
        for wrong in ("Bearer x", f"Basic {TOKEN}", "Bearer \xff", f"Bearer {TOKEN}x"):
            assert ask(place, "/model", Authorization=wrong).status == 401
        assert ask(place, "/model", Authorization=f"Bearer {TOKEN}").status == 200
        assert ask(place, "/health").body == {"status": "ok"}
        assert ask(place, "/ready").body == {"status": "ready"}


@pytest.mark.parametrize(
    "path", ["/../etc/passwd", "/%2e%2e/model.json", "/model.json", "/streams/a/b"]
)
def test_no_path_leads_to_files(port: int, path: str) -> None:
    assert ask(port, path).status == 404


def test_the_model_says_what_it_takes_and_gives(port: int) -> None:
    found = ask(port, "/model").body
    assert found["input"]["features"] == 2
    assert found["output"]["labels"] == ["a", "b", "c"]
    assert "null where a value is missing" in found["input"]["sequence"]
    assert found["streams"]


def test_the_schema_is_exact(port: int) -> None:
    found = ask(port, "/openapi.json").body["paths"]["/predict"]["post"]
    schema = found["requestBody"]["content"]["application/json"]["schema"]
    step = schema["properties"]["inputs"]["items"]["items"]
    assert (step["minItems"], step["maxItems"]) == (2, 2)
    assert schema["additionalProperties"] is False
    assert set(found["responses"]) >= {"200", "401", "413", "415", "422", "429", "503"}


def test_requests_are_counted(text_port: int) -> None:
    ask(text_port, "/a/path/of/ones/own")
    text = ask(text_port, "/metrics").body.decode()
    assert 'gated_requests_total{path="other",status="404"}' in text


def test_the_command_serves_a_run_and_logs_json(tmp_path: Path) -> None:
    write(tmp_path / "run", *causal(), task="classify")
    command = [sys.executable, "-m", "gated", "serve", str(tmp_path / "run"), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "--log-json"], stdout=pipe, stderr=pipe, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().partition("127.0.0.1:")[2].partition("/")[0])
        assert ask(port, "/predict", '{"inputs": [[[1, 2]]]}').status == 200
        server.terminate()
        log = server.communicate()[1]
    line = json.loads(log)
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert server.returncode in (0, -15)


def test_others_are_served_with_a_token_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", str(tmp_path), "--host", "0.0.0.0"]) == 2
    assert "give a token" in capsys.readouterr().err
    assert run(["serve", str(tmp_path), "--token", "short"]) == 2
    assert "16 or more letters" in capsys.readouterr().err
    assert run(["serve", str(tmp_path), "--steps", "0"]) == 2
    assert "--steps: must be above 0" in capsys.readouterr().err


def test_serving_needs_no_torch() -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(["torch", "polars", "lightning_fabric", "msgspec"]))
import gated.serve.live.server
"""
    subprocess.run([sys.executable, "-c", program], check=True)
