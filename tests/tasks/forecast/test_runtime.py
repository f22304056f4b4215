"""A forecaster is loaded and goes on with NumPy and safetensors alone, from rows of its run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load, save
from tests.tasks.forecast.test_live import TRAINED, fitted, hours, same, table, until

import gated
from gated.configuration import json_values
from gated.errors import ConfigurationError, DataError, ModelFileError
from gated.model_files import NO_DIGEST, attached_file, load_model, save_model, seal
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.distributions import DISTRIBUTIONS
from gated.tasks.forecast.forecaster import Forecaster
from gated.tasks.forecast.grid import wall_times
from gated.tasks.forecast.live import LiveForecaster
from gated.tasks.forecast.outlook import OF_COUNTS
from gated.tasks.forecast.runtime import PAST, load_live

WITHOUT = """
import json, sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in sys.stdlib_module_names or top in ("gated", "numpy", "safetensors")
        if not known and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Wall())
import gated
live = gated.load(sys.argv[1])
"""


def without(program: str, *arguments: object) -> str:
    """Run a program where nothing but NumPy and safetensors is installed; return what it prints."""
    given = [sys.executable, "-c", WITHOUT + program, *map(str, arguments)]
    done = subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    """With columns of numbers and texts beside, and a seasoned network that has a say."""
    made = fitted(until(table(), TRAINED).drop("plan"))
    torch.nn.init.normal_(made.first_network.head.weight)
    return made


@pytest.fixture(scope="module")
def run(forecaster: Forecaster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("forecaster") / "run"
    forecaster.save(directory)
    return directory


def new_rows(first: int, end: int) -> list[dict[str, Any]]:
    frame = table("AB").drop("plan")
    return frame.filter(pl.col("when").is_between(hours(first), hours(end - 1))).to_dicts()


def written(rows: list[dict[str, Any]]) -> str:
    return json.dumps([row | {"when": row["when"].isoformat()} for row in rows])


def test_it_goes_on_without_torch_and_without_its_table(run: Path, forecaster: Forecaster) -> None:
    program = """
before = live.predict()
for row in json.loads(sys.argv[2]):
    live.update(row)
other = gated.load(sys.argv[1])
other.restore(live.state())
assert (other.predict().values == live.predict().values).all()
every = {name.partition(".")[0] for name in sys.modules}
assert not every & {"torch", "polars", "sklearn", "pandas", "scipy", "msgspec", "narwhals"}, every
rows = [[str(of.pop("when")), *of.values()] for of in (*before.rows(), *live.predict().rows())]
print(json.dumps(rows))
"""
    found = json.loads(without(program, run, written(new_rows(TRAINED, 312))))
    frame = table().drop("plan")
    expected = pl.concat([forecaster.predict(until(frame, step)) for step in (TRAINED, 312)])
    assert [row[:2] for row in found] == [
        [str(when), who] for when, who in expected.select("when", "who").rows()
    ]
    numbers = np.array([row[2:] for row in found])
    quantiles = expected.select("q10", "q50", "q90").to_numpy()
    np.testing.assert_allclose(numbers, quantiles, rtol=1e-5, atol=1e-5)


def test_it_says_what_is_not_typed_and_what_reads_it(run: Path) -> None:
    program = """
try:
    live.update({"when": "Jan 2, 2030", "who": "A", "y": "1,5", "x": 1, "kind": "a"})
except gated.errors.MissingExtraError as error:
    print(error)
"""
    said = without(program, run)
    assert "rows with values that have to be interpreted" in said
    assert "pip install 'gated[train]'" in said


def test_its_pretrained_partner_needs_no_torch(tmp_path: Path) -> None:
    frame = table("A").select("when", "y")
    made = fitted(until(frame, TRAINED), series=None, partner="pretrained")
    made.shares = np.array([[0.3, 0.7]] * 2)
    made.save(tmp_path)
    found = without("print(json.dumps(live.predict().values.tolist()))", tmp_path)
    expected = made.predict(until(frame, TRAINED)).select("q10", "q50", "q90").to_numpy()
    np.testing.assert_allclose(np.array(json.loads(found))[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"distribution": "student-t"}, "needs torch for its distribution, student-t"),
        ({"partner": ("ets",)}, "needs statsforecast for its partner, ets"),
        ({"country": "DE"}, "needs holidays for the holidays of DE"),
    ],
)
def test_what_takes_more_is_named(
    forecaster: Forecaster, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    weights, description = load_model_of(forecaster, tmp_path)
    description["config"] |= options
    save_model(tmp_path / "other", weights, description)
    program = (
        "live = None\n"
        + WITHOUT.rpartition("live =")[0]
        + (
            "try:\n    gated.load(sys.argv[2])\n"
            "except gated.errors.MissingExtraError as error:\n    print(error)"
        )
    )
    said = without(program, tmp_path, tmp_path / "other")
    assert told in said
    assert "pip install 'gated[" in said


def load_model_of(forecaster: Forecaster, directory: Path) -> tuple[Any, dict[str, Any]]:
    forecaster.save(directory)
    return load_model(directory)


def test_a_state_is_gone_on_from(run: Path, forecaster: Forecaster) -> None:
    live, frame = gated.load(run), table().drop("plan")
    assert isinstance(live, LiveForecaster)
    again = load_live(run, past=False)
    with pytest.raises(DataError, match=r"no row to forecast from: update .* first"):
        again.predict()
    for step in range(TRAINED, TRAINED + 40):
        live.update(new_rows(step, step + 1))
        if step % 13 == 0:
            live, earlier = again, live
            live.restore(earlier.state())
            again = load_live(run)
            same(live.predict(), forecaster.predict(until(frame, step + 1)))
    assert live.state() == live.state()
    assert forecaster.live(until(frame, 310)).state() != live.state()


@pytest.mark.parametrize("steps", [30, 60])
def test_series_that_are_new_or_short_are_kept_whole(run: Path, steps: int) -> None:
    live, other = load_live(run, past=False), load_live(run)
    rows = [row | {"who": "new"} for row in new_rows(0, steps) if row["who"] == "A"]
    live.update(rows)
    other.restore(live.state())
    assert other.series == ("new",)
    more = [row | {"who": "new"} for row in new_rows(steps, steps + 20) if row["who"] == "B"]
    for of in (live, other):
        of.update(more)
    np.testing.assert_array_equal(live.predict().values, other.predict().values)


def test_steps_of_rows_and_several_targets_go_through_bytes() -> None:
    frame = table("AB").filter(pl.col("when").dt.hour() < 20).drop("plan")
    frame = frame.with_columns(z=5 - pl.col("y").shift(3))
    options = {"every": "row", "season": 20, "target": ("y", "z"), "partner": "none"}
    made = fitted(until(frame, TRAINED), **options)
    live, other = made.live(until(frame, 320)), made.live()
    other.restore(live.state())
    for of in (live, other):
        of.update(frame.filter(pl.col("when").is_between(hours(320), hours(345))))
    np.testing.assert_array_equal(live.predict().values, other.predict().values)
    same(other.predict(), made.predict(until(frame, 346)))


def test_what_is_kept_is_bounded_and_can_be_left_out(
    run: Path, forecaster: Forecaster, tmp_path: Path
) -> None:
    kept = attached_file(run, PAST)
    assert kept is not None
    live = gated.load(run)
    assert len(live._memory.rows.ticks) <= 2 * (live.needed + forecaster.config.horizon)
    loaded = Forecaster.load(run)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / kept.name).read_bytes() == kept.read_bytes()
    loaded.config = replace(loaded.config, no_keep_rows=True)
    loaded.save(tmp_path / "without")
    assert attached_file(tmp_path / "without", PAST) is None
    with pytest.raises(DataError, match="no row to forecast from"):
        gated.load(tmp_path / "without").predict()
    loaded = Forecaster.load(run)
    loaded.first_network.trust.fill_(0.5)  # another forecaster: its past would be refused
    loaded.save(tmp_path / "changed")
    assert attached_file(tmp_path / "changed", PAST) is None


def forged(data: bytes, change: Any) -> bytes:
    """A state with other content whose digest is right."""
    arrays = {name: of.copy() for name, of in load(data).items()}
    document = json.loads(arrays["document"].tobytes())
    change(arrays, document)
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), np.uint8)
    return seal(save(arrays, {"sha256": NO_DIGEST}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays, _: arrays.update(target=arrays["target"][1:]), "target must be float64"),
        (lambda arrays, _: arrays.pop("ticks"), "ticks must be int64"),
        (lambda arrays, _: arrays["ticks"].__setitem__(3, 0), "do not follow one another"),
        (lambda arrays, _: arrays["starts"].__setitem__(-1, 1 << 40), "must be"),
        (lambda arrays, _: arrays["widths.places"].__setitem__(0, 999), "widths"),
        (lambda arrays, _: arrays["observed"].__setitem__(0, 7), "goes on is not there"),
        (lambda arrays, _: arrays["ahead_of"].__setitem__(0, -3), "is negative"),
        (lambda arrays, _: arrays["text.0"].__setitem__(0, 99), "holds what is no text"),
        (lambda _, document: document.update(series=["A", "A"]), "one after the other"),
        (lambda _, document: document.update(series=3), "must be some texts"),
        (lambda _, document: document.update(numbers=["z"]), "not those of the training"),
        (lambda _, document: document.pop("last_texts"), "last_texts"),
        (lambda _, document: document.update(version=2), "is of version 2"),
        (lambda _, document: document.update(forecaster="0" * 64), "another forecaster"),
        (lambda _, document: document.update(format="x"), "no state of a forecaster"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(run: Path, change: Any, told: str) -> None:
    live = gated.load(run)
    before = live.predict().values
    with pytest.raises(ModelFileError, match=told):
        live.restore(forged(live.state(), change))
    np.testing.assert_array_equal(live.predict().values, before)


def test_bytes_that_are_cut_or_changed_are_refused(run: Path, tmp_path: Path) -> None:
    live = gated.load(run)
    state = live.state()
    for cut in (0, 7, 100, len(state) // 2, len(state) - 1):
        with pytest.raises(ModelFileError, match="The state is"):
            live.restore(state[:cut])
    for place in (9, 200, len(state) // 2, len(state) - 1):
        changed = bytearray(state)
        changed[place] ^= 1
        with pytest.raises(ModelFileError, match="The state is"):
            live.restore(bytes(changed))
    with pytest.raises(TypeError, match="The state is str: give the bytes that state returned"):
        live.restore("x")
    live.restore(memoryview(state))
    assert live.state() == state
    kept = attached_file(run, PAST)
    assert kept is not None
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / kept.name).write_bytes(state[:100])
    with pytest.raises(ModelFileError, match="is damaged"):
        gated.load(copy)


def test_weights_and_options_that_do_not_fit_are_refused(run: Path, tmp_path: Path) -> None:
    weights, description = load_model(run)
    weights["decoder.weight_ih_l0"] = weights["decoder.weight_ih_l0"][:, 1:]
    save_model(tmp_path, weights, description)
    with pytest.raises(ModelFileError, match="is damaged"):
        gated.load(tmp_path)
    with pytest.raises(ConfigurationError, match="stored as 'float32'"):
        gated.load(run, stored_as="int8")
    weights, description = load_model(run)
    description["preprocessing"]["grid"]["size"] = "much"
    save_model(tmp_path, weights, description)
    with pytest.raises(ModelFileError, match=r"Expected `int`, got `str` - at `\$.grid.size`"):
        gated.load(tmp_path)


def test_counts_are_whole_where_the_distribution_says_so() -> None:
    assert {name for name, of in DISTRIBUTIONS.items() if of.whole} == {*OF_COUNTS}
    assert json_values(ForecastConfig(time="t", target="y", horizon=1))["no_keep_rows"] is False


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]
)
def test_local_time_is_that_of_polars(zone: str) -> None:
    rng = np.random.default_rng(1)
    times = rng.integers(-(10**15), 2 * 10**15, 500) // 10**6 * 10**6
    summer = 1_711_846_800_000_000 + np.arange(-8, 8) * 900_000_000  # around a change of clocks
    times = np.concatenate([times, summer])
    stamps = pl.Series(times).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone)
    expected = stamps.dt.replace_time_zone(None).to_physical().to_numpy()
    np.testing.assert_array_equal(wall_times(times, zone), expected)
