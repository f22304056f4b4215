"""The pictures show the numbers that they are said to show, and the page opens with the words."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from tests.explain.reader import TEXT, make_probe

from gated.errors import DataError
from gated.explain import Explanation, Flow, LayerFlow, Timeline, by_age, entries, explain
from gated.phases import listened_by
from gated.report import explain as explain_report
from gated.report import gate_pictures, ledger_pictures, unit_pictures
from gated.report.drawing import style
from gated.report.explain import write_explanation
from gated.report.timeline import View, label_steps

LAST = len(TEXT[0]) - 1


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures as they are finished, by name."""
    drawn: dict[str, Figure] = {}

    def keep(figure: Figure, name: str, **_: str) -> None:
        drawn[name] = figure

    for module in (gate_pictures, ledger_pictures, unit_pictures):
        monkeypatch.setattr(module, "finish", keep)
    return drawn


@pytest.fixture(scope="module")
def explained() -> Explanation:
    return explain(make_probe(bidirectional=True))


def view(explained: Explanation, place: int = 0, sequence: int = 0, first: int = 0) -> View:
    layer = explained.layers[place]
    last = int(layer.traced.lengths[sequence]) - 1
    timeline = explained.probe.timeline(layer.traced.name, sequence, last + 1)
    return View(layer, timeline, sequence, first, last)


def images(figure: Figure) -> list[AxesImage]:
    return [image for axes in figure.axes for image in axes.images]


def test_gates_are_drawn_by_unit_and_step_with_the_text_under_them(explained, figures) -> None:
    seen = view(explained, first=3)
    gate_pictures.gates_picture(seen)
    figure = figures["gates_0"]
    names = ["forget_gate", "input_gate", "output_gate", "candidate", "cell"]
    assert gate_pictures.drawn_values(seen) == names
    for image, name in zip(images(figure), names, strict=False):
        traced = seen.layer.traced.values[name]
        expected = traced[3 : LAST + 1, 0][:, seen.layer.by_memory].T
        np.testing.assert_array_equal(image.get_array(), expected)
    read = images(figure)[len(names)]
    np.testing.assert_array_equal(
        read.get_array(), seen.timeline.signals["spectrum"][3 : LAST + 1].T
    )
    lowest = figure.axes[len(names)]
    written = [text for text in lowest.texts if text.get_position()[0] <= LAST]
    assert [text.get_text() for text in written] == [*TEXT[0][3:LAST], "↵"]
    assert [text.get_position()[0] for text in written] == [*range(3, LAST + 1)]
    # A tick of its own for each character of each panel takes three times as long to draw.
    assert not any(len(axes.get_xticks()) for axes in figure.axes if axes.xaxis.get_visible())
    assert lowest.get_xlabel() == "character"


@pytest.mark.parametrize("place", [0, 1])
def test_stacks_of_the_ledger_add_up_to_the_state(explained, figures, place: int) -> None:
    seen = view(explained, place)
    ledger_pictures.ledger_pictures(seen)
    axes = figures[f"ledger_units_{place}"].axes[0]
    sums = np.zeros(len(axes.get_yticks()))
    for bar in axes.patches:
        sums[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    units = [int(tick.get_text().removeprefix("unit ")) for tick in axes.get_yticklabels()]
    state = seen.layer.traced.cell[0 if place else LAST, 0]
    np.testing.assert_allclose(sums, state[units], rtol=1e-5, atol=1e-7)
    assert np.all(np.diff(np.abs(state[units])) <= 0)  # the fullest first


def test_bars_go_out_from_zero_on_both_sides() -> None:
    axes = Figure().subplots()
    ledger_pictures.stacks(axes, np.array([[2.0], [-1.0], [3.0], [-0.5]]), [0, 1, 3])
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert [sorted(span) for span in spans] == [[0, 2], [-1, 0], [2, 5], [-1.5, -1]]


def test_shares_of_steps_and_of_ages_are_those_of_the_ledger(explained, figures) -> None:
    seen = view(explained)
    ledger_pictures.ledger_pictures(seen)
    found = list(entries(seen.layer.traced, sequence=0))
    written = np.abs(found[-1].written)
    heights = [bar.get_height() for bar in figures["ledger_0"].axes[0].patches]
    np.testing.assert_allclose(heights, 100 * written.sum(axis=1) / written.sum(), rtol=1e-6)
    tiles = images(figures["ledger_0"])[0].get_array()
    np.testing.assert_allclose(tiles, found[-1].written[:, seen.layer.by_memory].T)
    ages = [0, 1, 3, 6, 12]
    areas = figures["ledger_ages_0"].axes[0].collections
    assert len(areas) == len(ages)  # and none for the first state, which is zero
    magnitudes = by_age(found[7], ages, magnitudes=True)
    shares = (magnitudes / magnitudes.sum(axis=0)).mean(axis=1)
    tops = [max(y for x, y in area.get_paths()[0].vertices if x == 7) for area in areas]
    np.testing.assert_allclose(tops, 100 * np.cumsum(shares)[:-1], rtol=1e-6)


def test_points_of_saturation_and_memory_are_the_statistics(explained, figures) -> None:
    with np.errstate(all="raise"):
        unit_pictures.saturation_picture(explained.layers)
        unit_pictures.memory_picture(explained.layers)
    panels = figures["saturation"].axes
    assert [panel.get_title(loc="left") or panel.get_title() for panel in panels] == [
        "input gate",
        "forget gate",
        "output gate",
    ]
    for panel, gate in zip(panels, ("input_gate", "forget_gate", "output_gate"), strict=True):
        for points, layer in zip(panel.collections, explained.layers, strict=True):
            expected = np.stack([layer.statistics.right[gate], layer.statistics.left[gate]], 1)
            np.testing.assert_array_equal(points.get_offsets(), expected)
    for line, layer in zip(figures["memory_by_unit"].axes[0].lines, explained.layers, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), np.sort(layer.statistics.memory)[::-1])


def test_an_endless_memory_stands_at_the_end_of_the_axis(figures) -> None:
    probe = make_probe()
    bias = probe.model.memory.bias_ih_l0
    bias.data[bias.numel() // 4 : bias.numel() // 2] = 100.0
    explained = explain(probe)
    assert np.isinf(explained.layers[0].statistics.memory).all()
    unit_pictures.memory_picture(explained.layers)
    (line,) = figures["memory_by_unit"].axes[0].lines
    assert set(line.get_ydata()) == {unit_pictures.LONGEST}


@pytest.mark.parametrize("steps", [1, 2, 48])
def test_times_stand_at_their_steps(explained, steps: int) -> None:
    start = datetime(2013, 12, 2, 22)
    times = np.array([start + timedelta(hours=k) for k in range(steps)], "datetime64[us]")
    timeline = Timeline(labels=times, unit="hours")
    seen = View(explained.layers[0], timeline, 0, 0, steps - 1)
    axes = Figure().subplots()
    label_steps(axes, seen)
    told = dict(zip(axes.get_xticks(), (t.get_text() for t in axes.get_xticklabels()), strict=True))
    if steps == 1:
        assert told == {0: "2013-12-02 22:00"}
        assert seen.moment == "2013-12-02 22:00"
    elif steps == 48:
        assert told[2] == "Dec 03"
        assert told[26] == "Dec 04"
        assert "12:00" in (told.get(14), told.get(38))
    else:
        assert told
        assert axes.get_xlabel().startswith("hours 2013")


@pytest.mark.parametrize("words", [3, 200])
def test_words_are_upright_and_not_too_many(explained, words: int) -> None:
    labels = [f"word{place}" for place in range(words)]
    axes = Figure().subplots()
    label_steps(axes, View(explained.layers[0], Timeline(labels=labels), 0, 0, words - 1))
    told = axes.get_xticklabels()
    assert {label.get_rotation() for label in told} == {90}
    assert [label.get_text() for label in told] == labels[:: 1 if words == 3 else 4]


def test_the_page_is_one_file_with_words_first_and_its_pictures_beside(tmp_path) -> None:
    explained = explain(replace(make_probe(), title="<b>读者</b>"))
    path = write_explanation(tmp_path / "new" / "report.html", explained, command="gated explain")
    page = path.read_text("utf-8")
    assert page.index(explained.verdict) < page.index("<h1>") < page.index("forget gate")
    assert "<b>读者" not in page
    assert "读者" in page
    assert "Li Bai, all 13 steps." in page
    layer = explained.layers[0]
    assert f"{layer.forgetting:.4g} instead of {explained.loss:.4g}" in page
    for address in ("http://", "https://", 'src="'):
        assert address not in page.replace("http://www.w3.org", "")
    drawn_over_time = ["gates_0", "ledger_0", "ledger_units_0", "ledger_ages_0"]
    names = [*drawn_over_time, "gradient", "jacobian", "saturation", "memory_by_unit"]
    pictures = tmp_path / "new" / "report_figures"
    assert {file.name for file in pictures.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    for name in names:
        drawn = (pictures / f"{name}.svg").read_text("utf-8")
        assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(--" not in drawn
        assert (pictures / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_an_rnn_has_no_ledger_and_the_page_says_so(tmp_path) -> None:
    path = write_explanation(tmp_path, explain(make_probe("RNN")), command="", sequence=-1)
    page = path.read_text("utf-8")
    assert "Hamlet, all 12 steps. There is no ledger" in page
    names = {file.name for file in (tmp_path / "figures").iterdir()}
    assert names == {
        f"{name}.{kind}" for name in ("gates_0", "gradient", "jacobian") for kind in ("png", "svg")
    }


def test_gradients_are_drawn_to_the_last_step_that_counts(explained, monkeypatch) -> None:
    drawn = {}

    def keep(lines, *, name: str, **_: str):
        drawn[name] = lines
        return replace(gate_pictures.gates_picture(view(explained)), name=name)

    monkeypatch.setattr(explain_report, "gradient_picture", keep)
    hidden = np.array([1e-30, 2.0, 4.0, 0.0])
    products = np.array([1.0, 2.0, 4.0, np.inf])
    layer = LayerFlow("lstm", "lstm", 0, False, hidden, np.zeros(4), products, 2.0)
    flow = Flow([layer], 1.0)
    (section,) = explain_report._gradient_section(replace(explained, flow=flow))
    assert [block.picture.name for block in section.blocks] == ["gradient", "jacobian"]
    (line,) = drawn["gradient"]  # of the cell state there is nothing to see
    assert line.label == "lstm, layer 0, hidden state"
    np.testing.assert_array_equal(line.norms, [0.25e-30, 0.5, 1.0, np.nan])
    (line,) = drawn["jacobian"]
    largest = np.finfo(float).max
    np.testing.assert_allclose(line.norms, [1.0, 4 / largest, 2 / largest, 1 / largest])


def test_a_stretch_is_drawn_where_there_is_one(tmp_path) -> None:
    explained = explain(make_probe())
    path = write_explanation(tmp_path, explained, command="", steps=(4, 4))
    assert "Li Bai, steps 4 to 4 of 13." in path.read_text("utf-8")
    for steps in ((5, 13), (3, 2), (-1, 4)):
        with pytest.raises(DataError, match=f"has 13, counted from 0, got {steps[0]} to"):
            write_explanation(tmp_path / "other", explained, command="", steps=steps)
    with pytest.raises(DataError, match="sequence: there are 2"):
        write_explanation(tmp_path / "other", explained, command="", sequence=2)
    assert not (tmp_path / "other").exists()


def test_pictures_are_drawn_in_the_project_style(explained) -> None:
    with style():
        picture = gate_pictures.gates_picture(view(explained))
    assert "霜" in picture.svg
    assert "var(--ink)" in picture.svg
    assert picture.description.startswith("Heat maps of the gates")


def test_what_takes_its_time_is_told(explained, tmp_path) -> None:
    begun: list[tuple[str, int | None, int]] = []

    class Noted:
        def begin(self, name: str, total: int | None) -> None:
            begun.append((name, total, 0))

        def advance(self) -> None:
            name, total, done = begun[-1]
            begun[-1] = (name, total, done + 1)

        def end(self) -> None:
            pass

    with listened_by(Noted()):
        found = explain(make_probe())
        write_explanation(tmp_path / "page", found, command="gated explain")
    assert begun == [("Examining the network", 5, 5), ("Drawing", 3, 3)]
