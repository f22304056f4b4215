"""A forecaster behind HTTP: rows are durable when they are answered, and taken once."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.serve.asking import Answer, ask, running
from tests.serve.live.databases import Postgres
from tests.serve.live.test_kills import Served
from tests.tasks.forecast.test_live import fitted, hours, table, until

from gated.cli.app import run as command
from gated.cli.run_directory import Run, write_run
from gated.cli.serve import _of_forecaster
from gated.configuration import json_values
from gated.errors import ConfigurationError
from gated.serve.bounds import Bounds
from gated.tasks.forecast.forecaster import Forecaster

TRAINED, KILLED, END = 300, 315, 330
TRIES = 3000
"""Of a row, ten milliseconds apart, before a test gives up."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table with a column that is known ahead."""
    directory = tmp_path_factory.mktemp("forecaster")
    data = directory / "data.csv"
    until(table(), TRAINED).write_csv(data)
    forecaster = fitted(data, known=("plan",))
    forecaster.save(directory / "run")
    of_run = Run("forecast", (data,), json_values(forecaster.config), forecaster.training)
    write_run(directory / "run", of_run)
    return directory / "run"


def served(run: Path, state: Path | str, **bounds: Any) -> AbstractContextManager[int]:
    server = _of_forecaster(run, state, Bounds(rate=1e6, **bounds), {"hosts": ["127.0.0.1"]})
    return running(server)


def post(port: int, path: str, content: Any) -> Answer:
    return ask(port, path, json.dumps(content))


def rows(first: int, end: int, **values: Any) -> list[dict[str, Any]]:
    found = table().filter(pl.col("when").is_between(hours(first), hours(end), closed="left"))
    texts = found.with_columns(pl.col("when").dt.to_string("%Y-%m-%dT%H:%M:%S.%f"))
    return [row | values for row in texts.to_dicts()]


def future(first: int) -> list[dict[str, Any]]:
    return [{key: row[key] for key in ("when", "who", "plan")} for row in rows(first, first + 15)]


def test_forecasts_are_those_of_the_table_also_after_a_restart(run: Path, tmp_path: Path) -> None:
    frame = table().with_columns(y=pl.when(pl.col("when") < hours(320)).then("y"))
    expected = Forecaster.load(run).predict(until(frame, 335))
    with served(run, tmp_path / "rows") as port:
        assert post(port, "/rows", {"rows": rows(300, 310)}).body == {"taken": 20, "known": 0}
        assert post(port, "/rows", {"rows": rows(308, 320)}).body == {"taken": 20, "known": 4}
        answer = post(port, "/forecast", {"future": future(320)})
        found = pl.DataFrame(answer.body["forecast"])
        assert found["q50"].to_list() == pytest.approx(expected["q50"].to_list())
        assert found["who"].to_list() == expected["who"].to_list()
        assert found["when"][0] == "2024-01-14T08:00:00.000000"
        assert ask(port, "/model").body["known"] == ["plan"]
        assert 'path="/rows",status="200"' in ask(port, "/metrics").body.decode()
    with served(run, tmp_path / "rows") as port:
        assert post(port, "/forecast", {"future": future(320)}).body == answer.body
        between = [row | {"when": "2024-01-14T08:20:00"} for row in rows(320, 321)]
        said = post(port, "/rows", {"rows": between}).body
        assert (said["taken"], "moved to the nearest step" in said["findings"][0]) == (2, True)
        assert post(port, "/rows", {"rows": rows(319, 320)}).body == {"taken": 0, "known": 2}


def test_a_long_silence_is_read_again_after_a_restart(run: Path, tmp_path: Path) -> None:
    late = [row | {"when": "2024-04-01T00:00:00"} for row in rows(310, 311)]
    plan = [
        row | {"when": f"2024-04-01T{1 + at % 15:02}:00:00"} for at, row in enumerate(future(310))
    ]
    with served(run, tmp_path / "rows") as port:
        for some in (rows(300, 301), late):
            assert post(port, "/rows", {"rows": some}).body == {"taken": 2, "known": 0}
        answer = post(port, "/forecast", {"future": plan})
        assert answer.status == 200
    with served(run, tmp_path / "rows") as port:
        assert post(port, "/forecast", {"future": plan}).body == answer.body


@pytest.fixture
def port(run: Path, tmp_path: Path) -> Iterator[int]:
    with served(run, tmp_path / "rows") as place:
        yield place


def test_what_cannot_be_taken_is_refused_and_changes_nothing(port: int) -> None:
    refused: list[tuple[Any, int, str]] = [
        ({"rows": [*rows(300, 301), *rows(290, 291)]}, 422, "is not after the last one"),
        ({"rows": [{"who": "A", "y": 1}]}, 422, "rows.0: there is no 'when'"),
        ({"rows": rows(300, 301, y="many")}, 422, "many"),
        ({"rows": rows(300, 301, y=10**400)}, 422, "too large"),
        ({"rows": [*rows(300, 301), *rows(301, 302, y="many")]}, 422, "'many' is not a number"),
        ({"rows": rows(300, 301, when=10**400)}, 422, "too large"),
        ({"rows": rows(300, 301, when="9999-12-31T23:59:59")}, 422, "Is its time wrong?"),
        ({"rows": rows(300, 301, y=float("nan"))}, 422, "finite number"),
        ({"rows": []}, 422, "rows"),
        ({"lines": []}, 422, "rows"),
        ({"rows": [[1]]}, 422, "rows.0"),
    ]
    for content, status, message in refused:
        answer = post(port, "/rows", content)
        assert (answer.status, message in answer.body["error"]) == (status, True), answer
    assert ask(port, "/rows", "{").status == 422
    assert ask(port, "/rows", "{}", Content_Type="text/plain").status == 415
    assert post(port, "/rows", {"rows": rows(300, 301)}).body["taken"] == 2
    answer = post(port, "/rows", {"rows": rows(300, 301, y=1.0)})
    assert (answer.status, "another row was taken" in answer.body["error"]) == (409, True)
    answer = ask(port, "/forecast")
    assert (answer.status, "'plan' is missing" in answer.body["error"]) == (422, True)


def test_a_run_that_keeps_no_rows_begins_with_its_data(run: Path, tmp_path: Path) -> None:
    data, keeps_none = tmp_path / "data.csv", tmp_path / "run"
    until(table(), TRAINED).write_csv(data)
    forecaster = Forecaster.load(run)
    forecaster.config = replace(forecaster.config, no_keep_rows=True)
    forecaster.save(keeps_none)
    of_run = Run("forecast", (data,), json_values(forecaster.config), forecaster.training)
    write_run(keeps_none, of_run)
    ahead = {"future": future(301)}
    with served(keeps_none, tmp_path / "rows") as port, served(run, tmp_path / "kept") as other:
        for of in (port, other):
            post(of, "/rows", {"rows": rows(300, 301)})
        found, expected = (post(of, "/forecast", ahead).body["forecast"] for of in (port, other))
    assert [row["when"] for row in found] == [row["when"] for row in expected]
    for name in ("q10", "q50", "q90"):
        left, right = ([row[name] for row in of] for of in (found, expected))
        assert left == pytest.approx(right, rel=1e-6)
    table(steps=302).write_csv(data)
    with pytest.raises(ConfigurationError, match="do not follow the data of the run"):
        served(keeps_none, tmp_path / "rows")
    data.unlink()
    with pytest.raises(ConfigurationError, match="is not there: forecasts begin with it, since"):
        served(keeps_none, tmp_path / "others")


def test_rows_that_were_acknowledged_survive_a_kill(run: Path, tmp_path: Path) -> None:
    """Rows are sent one hour after another; one that was not answered is sent again."""
    state = tmp_path / "rows.sqlite"
    server = Served(run, tmp_path / "log", "--state", str(state))
    answered: list[dict[str, int]] = []
    half_way = threading.Event()
    refused = 0

    def send(hour: int) -> dict[str, int]:
        nonlocal refused
        for _ in range(TRIES):
            try:
                answer = post(server.port, "/rows", {"rows": rows(hour, hour + 1)})
            except (OSError, http.client.HTTPException):
                refused += 1
                time.sleep(0.01)
            else:
                assert answer.status == 200, answer
                return dict(answer.body)
        raise AssertionError("the server does not answer again")

    def send_all() -> None:
        for hour in range(TRAINED, END):
            answered.append(send(hour))
            if hour == KILLED:
                half_way.set()

    sender = threading.Thread(target=send_all, daemon=True)
    try:
        sender.start()
        assert half_way.wait(30)
        server.kill()  # while the next row is on its way
        server.start()
        sender.join(30)
        assert not sender.is_alive()
        assert [of["taken"] + of["known"] for of in answered] == [2] * (END - TRAINED)
        again = post(server.port, "/rows", {"rows": rows(TRAINED, END)}).body
        assert again == {"taken": 0, "known": 2 * (END - TRAINED)}  # none is lost
        found = post(server.port, "/forecast", {"future": future(END)})
    finally:
        server.kill()
    with served(run, tmp_path / "undisturbed") as port:
        post(port, "/rows", {"rows": rows(TRAINED, END)})
        expected = post(port, "/forecast", {"future": future(END)})
    assert found.body == expected.body  # and none is taken twice
    assert refused > 0
    assert (tmp_path / "log").read_text() == ""


def test_servers_that_share_a_database_forecast_from_the_rows_of_all(
    run: Path, tmp_path: Path, postgres: Postgres
) -> None:
    state, ahead = postgres.new_schema(), {"future": future(312)}
    with served(run, state) as first, served(run, state) as second:
        assert post(first, "/rows", {"rows": rows(300, 304)}).body == {"taken": 8, "known": 0}
        assert post(second, "/rows", {"rows": rows(302, 308)}).body == {"taken": 8, "known": 4}
        other = post(second, "/rows", {"rows": rows(303, 304, y=1.0)})
        assert (other.status, "another row was taken" in other.body["error"]) == (409, True)
        assert post(first, "/rows", {"rows": rows(300, 312)}).body == {"taken": 8, "known": 16}
        found = [post(port, "/forecast", ahead) for port in (first, second)]
        postgres.stop()
        try:
            for answer in (post(first, "/forecast", ahead), post(second, "/rows", {"rows": [{}]})):
                assert (answer.status, "Connection refused" in answer.body["error"]) == (503, True)
        finally:
            postgres.start()
        found += [post(port, "/forecast", ahead) for port in (first, second)]
        at_once = [
            threading.Thread(target=post, args=(port, "/rows", {"rows": rows(312, 330)}))
            for port in (first, second)
        ]
        for thread in at_once:
            thread.start()
        for thread in at_once:
            thread.join()
        assert post(first, "/rows", {"rows": rows(300, 330)}).body == {"taken": 0, "known": 60}
        later = {"future": future(330)}
        latest = [post(port, "/forecast", later).body for port in (first, second)]
    with served(run, tmp_path / "alone") as port:
        post(port, "/rows", {"rows": rows(300, 312)})
        assert [answer.body for answer in found] == [post(port, "/forecast", ahead).body] * 4
        post(port, "/rows", {"rows": rows(312, 330)})
        assert latest == [post(port, "/forecast", later).body] * 2


def test_the_command_knows_what_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["serve", str(tmp_path)]) == 2
    assert "model.json" in capsys.readouterr().err
