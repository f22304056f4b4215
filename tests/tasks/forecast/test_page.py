import math
import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import pytest
from cyclopts import App, Parameter
from cyclopts.config import Toml
from matplotlib.image import imread

from gated.data.findings import Finding
from gated.errors import DataError
from gated.report.run_page import write_run_page
from gated.tasks.forecast import page as forecast_page
from gated.tasks.forecast.config import ForecastConfig
from gated.training.history import Transfer
from gated.training.options import TrainingOptions

VOID = {"meta", "br", "img", "hr", "link", "input"}
CONFIG = ForecastConfig(time="time", target="temp", series="station", horizon=24)


class Document(HTMLParser):
    """What a page holds; refuses tags that do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.texts, self.open = [], [], [], [], []
        self.pictures = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.handle_startendtag(tag, attributes.items())
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [
            attributes[name] for name in ("src", "href", "xlink:href") if name in attributes
        ]
        self.pictures += [attributes["aria-label"]] if attributes.get("role") == "img" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1] != "style":
            self.texts.append((self.open[-1], data.strip()))

    def words(self, tag):
        return [text for of, text in self.texts if of == tag]


@pytest.fixture
def write(tmp_path, evaluation, history):
    def write(scores=None, past=None, **others):
        facts = {
            "history": past or history(),
            "findings": (),
            "config": CONFIG,
            "training": TrainingOptions(),
            "chosen": "Chosen by the data: history of 72 steps.",
            "parameters": 12345,
        }
        command = others.pop("command", "gated fit forecast data.csv --out run")
        scores = scores or evaluation()
        facts["preprocessing"] = SimpleNamespace(series=tuple(scores.by_series))
        facts["calibration"] = SimpleNamespace(said="Borrowed from naive.")
        facts["ahead"] = lambda names: after_the_last_window(scores, names)
        learner = SimpleNamespace(**(facts | others))
        path = write_run_page(tmp_path, forecast_page, learner, scores, command=command)
        assert path == tmp_path / "report.html"
        return path.read_text("utf-8")

    return write


def after_the_last_window(scores, names):
    """Forecasts of the steps after those observed: the last window of each series once more."""
    of = scores.forecasts
    rows = [max(row for row, name in enumerate(of.series) if name == one) for one in names]
    seen = [next(item for item in of.observed if item.series == one) for one in names]
    step = np.diff(of.times.ravel()[:2]).sum() if of.times.size > 1 else 1
    return replace(
        of,
        series=tuple(names),
        times=of.times[rows] + of.truth.shape[1] * step,
        truth=np.full((len(rows), of.truth.shape[1]), np.nan),
        methods={method: values[rows] for method, values in list(of.methods.items())[:1]},
        observed=tuple(seen),
    )


def picture_names(directory: Path):
    return sorted(path.stem for path in (directory / "figures").iterdir())


def test_what_was_chosen_is_said(write):
    assert "Chosen by the data: history of 72 steps." in write()


def test_the_page_stands_alone_and_is_whole(write, evaluation, tmp_path):
    scores = evaluation(("EWR", "JFK"))
    text = write(scores)
    page = Document(text)
    assert page.words("p")[0] == str(scores.verdict)
    assert next(text for tag, text in page.texts if tag != "title") == str(scores.verdict)
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(url.startswith("#") for url in re.findall(r"url\((.*?)\)", text))
    assert "http" not in text
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == len(page.pictures) == 7
    assert all(page.pictures)
    assert page.words("h2") == [
        "What comes next",
        "Score",
        "Series by series",
        "Forecast and truth",
        "Where the error lies",
        "What was chosen",
        "Training",
        "Data cleaning",
        "Reproduce",
    ]
    assert picture_names(tmp_path) == [
        "ahead",
        "calibration",
        "error_by_series",
        "error_by_step",
        "forecast",
        "training",
        "windows",
    ]
    for name in picture_names(tmp_path):
        pixels = imread(tmp_path / "figures" / f"{name}.png")[..., :3]
        assert pixels.shape[1] == 1350
        colours = {tuple(colour) for colour in (pixels[::3, ::3] * 255).round().reshape(-1, 3)}
        assert len(colours) > 20


def test_text_and_axes_take_the_colours_of_the_page(write):
    drawings = re.findall(r"<svg.*?</svg>", write(), flags=re.DOTALL)
    for drawing in drawings:
        assert "<text" in drawing
        assert set(re.findall(r"#[0-9a-f]{6}\b", drawing)) <= {"#000000"}
        assert re.search(r"fill: var\(--(ink|muted)\)", drawing)


def test_scores_are_told_with_the_best_marked(write, evaluation):
    scores = evaluation()
    text = write(scores).partition("<h2>Score")[2]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', text)[:3]
    assert [name for name, _ in rows] == ["LSTM", "naive", "seasonal naive"]
    for name, cells in rows:
        told = [float(cell) for cell in re.findall(r">([\d.]+)</td>", cells)]
        assert told == pytest.approx(list(scores.overall[name].values()), abs=6e-4)
        assert cells.count('class="best"') == (5 if name == "LSTM" else 0)


def test_names_are_text_whatever_they_hold(write, evaluation, history):
    names = ("<script>alert(1)</script>", "北京 & 上海", "$\\frac$", "emoji 🎈")
    finding = Finding(kind="gap", count=3, what="steps <b>", action="inserted", example="'北京'")
    past = history()
    past.transfer = Transfer("runs/<i>", ("encoder.<u>",), (), (), ())
    text = write(evaluation(names), past, findings=[finding], command="gated '<s>'")
    page = Document(text)
    assert not {"script", "b", "i", "u", "s"} & set(page.tags)
    drawn = page.words("text")
    assert set(names) <= set(drawn)
    assert "3 steps <b>" in page.words("th")
    assert "encoder.<u>" in page.words("td")
    assert "gated '<s>'" in page.words("code")
    assert any("runs/<i>" in text for text in page.words("p"))


@pytest.mark.parametrize(
    ("training", "config"),
    [
        (TrainingOptions(), CONFIG),
        (
            TrainingOptions(clip_norm=None, freeze=("encoder",), init_from=Path("/runs/ü"), seed=3),
            replace(CONFIG, past=(), known=('holiday "x"',), target="气\x7f温", test="28d"),
        ),
    ],
)
def test_the_configuration_reproduces_the_run(write, tmp_path, training, config):
    text = Document(write(config=config, training=training)).words("code")[1]
    assert tomllib.loads(text)["target"] == config.target
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    app = App(
        config=Toml(file, must_exist=True, use_commands_as_keys=False, allow_unknown=False),
        result_action="return_value",
    )

    @app.default
    def read(
        *,
        config: Annotated[ForecastConfig, Parameter(name="*")],
        training: Annotated[TrainingOptions | None, Parameter(name="*")] = None,
    ):
        return config, training

    assert app([]) == (config, training)


def test_findings_are_counted_unless_they_concern_a_whole_column(write):
    findings = [
        Finding(kind="missing", count=1, what="missing value", action="filled", example="'a', 3"),
        Finding(kind="constant", count=1, what="always 2013", action="left out", column="year"),
    ]
    page = Document(write(findings=findings))
    assert {"1 missing value", "filled", "'a', 3", "always 2013", "left out"} <= set(
        page.words("td")
    )
    assert "year" in page.words("th")


def test_many_series_are_shown_in_part_and_it_is_said(write, evaluation, tmp_path):
    scores = evaluation(tuple(f"station {number}" for number in range(50)), windows=2, horizon=6)
    page = Document(write(scores))
    captions = page.words("figcaption")
    assert "6 of 50 series" in captions[1]
    assert "30 hardest of 50 series" in captions[4]
    errors = {name: of["LSTM"]["mae"] for name, of in scores.by_series.items()}
    ordered = sorted(errors, key=errors.__getitem__)
    begin, end = (page.texts.index(("figcaption", caption)) for caption in captions[:2])
    first_picture = [of for of in page.texts[begin:end] if of[0] not in ("th", "td")]
    panels = [text for _, text in first_picture if text.startswith("station")]
    assert (panels[0], panels[5], len(panels)) == (ordered[0], ordered[-1], 6)


def test_a_long_test_part_is_shown_at_its_end(write, evaluation):
    captions = Document(write(evaluation(windows=40, horizon=3))).words("figcaption")
    assert captions[1].startswith("The last 30 forecasts")


@pytest.mark.parametrize(
    "options",
    [
        {"windows": 1, "horizon": 1, "counted": True},
        {"windows": 2, "missing": 0.7},
        {"scale": math.nan, "counted": True},
    ],
)
def test_odd_evaluations_have_every_picture(write, evaluation, tmp_path, options):
    text = write(evaluation(("",), **options))
    assert len(picture_names(tmp_path)) == 6
    assert ("<td>–</td>" in text) == ("scale" in options)


def test_a_median_alone_promises_no_interval(write, evaluation, tmp_path):
    text = write(evaluation(quantiles=(0.5,), methods=("GRU",)))
    assert "calibration" not in picture_names(tmp_path)
    assert "interval" not in text
    assert text.count("<td>–</td>") == 2


def test_without_truth_there_is_no_picture_of_it(write, evaluation, tmp_path):
    page = Document(write(evaluation(missing=1.0)))
    assert page.words("p")[0].startswith("Nothing was observed")
    assert "LSTM has no score, so there is nothing to set its forecasts against." in page.words("p")
    assert picture_names(tmp_path) == ["ahead", "training"]


def test_clipping_is_told_in_words(write, history):
    past = history()
    acted = int(np.sum(past.clipped_by_norm))
    text = write(past=past)
    assert f"above 1, applied at {acted} of 120 steps ({acted / 120:.1%})" in text
    off = write(past=history(clip_norm=None), training=TrainingOptions(clip_norm=None))
    assert "Gradients were not clipped." in off


def test_without_validation_the_last_weights_are_the_result(write, history):
    past = history(validate_every=None)
    past.gradient_norm[5] = math.inf
    text = write(past=past)
    assert "Nothing was held out for validation" in text
    assert "best, step" not in text
    assert "The weights of step 100, the best on validation" in write(past=history())


def test_techniques_are_named_with_their_values(write, history):
    past = history()
    past.stopped = "patience"
    page = Document(
        write(
            past=past,
            config=replace(CONFIG, dropout=0.2, variational_dropout=0.3),
            training=TrainingOptions(
                clip_value=0.5,
                patience=3,
                init_from=Path("runs/first"),
                freeze=("encoder",),
                thaw_every=40,
                layer_rate_decay=0.5,
            ),
        )
    )
    told = page.words("td")
    for expected in (
        "beyond ±0.5, not reached in 120 steps",
        "0.2, between layers and before the output",
        "0.3 of the inputs, one mask for all steps",
        "0.01, on matrices",
        "one-cycle, peak 0.003 after 20% of the steps",
        "after 3 validations without improvement; stopped at step 120",
        "from runs/first; frozen: encoder; one more depth group unfrozen every 40 steps; "
        "each depth group at 0.5 times the learning rate above it",
        "32-true",
    ):
        assert expected in told


def test_the_forecast_from_the_end_of_the_table_comes_first(write, evaluation):
    scores = evaluation(("",), horizon=3, windows=4)
    text = write(scores)
    given = after_the_last_window(scores, [""])
    rows = re.findall(r'<tr><th scope="row">(2013-.*?)</th>(.*?)</tr>', text)
    assert [time for time, _ in rows] == [str(of)[:16].replace("T", " ") for of in given.times[0]]
    values = [[float(cell) for cell in re.findall(r">([\d.]+)</td>", cells)] for _, cells in rows]
    right = given.methods["LSTM"][0]
    np.testing.assert_allclose(values, right, atol=0.006 * np.ptp(right, axis=1).max())
    assert text.index("What comes next") < text.index("<h2>Score")


def test_why_nothing_comes_next_is_said(write):
    def nothing(names):
        raise DataError("The known covariate 'price' is missing for 2025-02-04.")

    page = Document(write(ahead=nothing))
    assert (
        "There is no forecast from the end of the table. The known covariate 'price' is missing "
        "for 2025-02-04." in page.words("p")
    )


def test_series_are_set_side_by_side_and_the_wins_counted(write, evaluation):
    scores = evaluation(("EWR", "JFK", "LGA"), windows=3)
    errors = {name: [of[m]["mae"] for m in of] for name, of in scores.by_series.items()}
    won = sum(values[0] == min(values) for values in errors.values())
    assert forecast_page.notes(scores) == [
        f"LSTM has the lowest MAE on {won} of 3 series ({won / 3:.0%})."
    ]
    text = write(scores)
    assert forecast_page.notes(scores)[0] in text
    for name, of in scores.by_series.items():
        row = re.search(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', text)[1]
        told = [float(cell) for cell in re.findall(r">([\d.]+)</td>", row)]
        expected = [of[m][metric] for metric in ("mae", "mase") for m in of]
        assert told == pytest.approx([*expected, of["LSTM"]["coverage"]], abs=6e-4)
    assert forecast_page.notes(evaluation()) == []


def test_a_tie_is_nobodys_win(evaluation):
    scores = evaluation(("EWR", "JFK", "LGA"), windows=3)
    by_series = {name: {m: dict(of[m]) for m in of} for name, of in scores.by_series.items()}
    for name, (ours, naive) in {"EWR": (1, 1), "JFK": (1, 2), "LGA": (2, 1)}.items():
        methods = iter(by_series[name].values())
        next(methods)["mae"], next(methods)["mae"] = ours, naive
        for other in methods:
            other["mae"] = 3.0
    tied = replace(scores, by_series=by_series)
    assert forecast_page.notes(tied) == [
        "LSTM has the lowest MAE on 1 of 3 series (33%); on 1 several methods share it."
    ]


def test_what_comes_next_is_written_as_finely_as_its_interval_is_wide():
    values = np.array([[2413.21, 2452.76, 2510.13], [1e8 + 1.26, 1e8 + 2.27, 1e8 + 3.28]])
    for row, told in zip(
        values,
        [("2,413.2", "2,452.8", "2,510.1"), ("100,000,001.26", "100,000,002.27", "100,000,003.28")],
        strict=True,
    ):
        forecasts = SimpleNamespace(
            methods={"LSTM": row[None, None]}, times=np.array([[7]]), quantiles=(0.1, 0.5, 0.9)
        )
        assert forecast_page._ahead_table(forecasts).rows == [("7", *told)]


def test_an_interval_that_is_off_is_told_first(write, evaluation):
    scores = evaluation(windows=40, horizon=6)
    assert scores.coverage.off
    page = Document(write(scores))
    assert scores.coverage.warning in page.words("p")[0]
    assert f"{scores.coverage.warning} Borrowed from naive." in page.words("p")
