"""The networks that learn in the page: their gradients, that they learn, and the switches."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from tests.serve.conftest import settle

playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
Page = playwright.Page
CELLS = ("rnn", "gru", "lstm")
SLOPES = """([cell, problem]) => {
  const { Learner, SHAPES, exampleOf, chanceFrom } = gated;
  const { inputs, outputs, classes } = SHAPES[problem];
  const learner = new Learner(cell, inputs, 5, outputs, classes, chanceFrom(3));
  const example = exampleOf(problem, 7, chanceFrom(4));
  learner.backward(example, learner.forward(example));
  const loss = () => learner.loss(learner.forward(example), example);
  const finite = [...learner.parameters].map((value, place) => {
    learner.parameters[place] = value + 1e-5;
    const above = loss();
    learner.parameters[place] = value - 1e-5;
    const below = loss();
    learner.parameters[place] = value;
    return (above - below) / 2e-5;
  });
  return { gradient: [...learner.gradient], finite };
}"""
LEARN = """([cell, clip, dropout]) => {
  const { Learner, SHAPES, exampleOf, chanceFrom } = gated;
  const { inputs, outputs, classes } = SHAPES.recall;
  const learner = new Learner(cell, inputs, 16, outputs, classes, chanceFrom(1));
  const chance = chanceFrom(2);
  const losses = [];
  for (let update = 0; update < 250; update++) {
    const batch = Array.from({ length: 8 }, () => exampleOf("recall", 6, chance));
    losses.push(learner.learn(batch, { clip, dropout, rate: 0.01 }).loss);
  }
  return losses;
}"""


@pytest.fixture
def page(opened: Callable[[str], Page], address: str) -> Page:
    page = opened(f"{address}#text=To+be&language=en&theme=light")
    settle(page)
    return page


def test_gradients_are_those_of_finite_differences(page: Page) -> None:
    for cell in CELLS:
        for problem in ("recall", "adding", "brackets"):
            found = page.evaluate(SLOPES, [cell, problem])
            assert np.abs(found["gradient"]).max() > 1e-3
            np.testing.assert_allclose(
                found["gradient"],
                found["finite"],
                rtol=1e-4,
                atol=1e-8,
                err_msg=f"{cell} {problem}",
            )


def test_each_cell_learns_to_recall(page: Page) -> None:
    for cell in CELLS:
        losses = page.evaluate(LEARN, [cell, 1.0, 0.0])
        assert np.mean(losses[:10]) > 1
        assert np.mean(losses[-20:]) < 0.3, cell


def test_clipping_and_dropout_change_what_is_learnt(page: Page) -> None:
    plain = page.evaluate(LEARN, ["gru", 1.0, 0.0])
    assert plain[0] == page.evaluate(LEARN, ["gru", 1e-3, 0.0])[0], "the first loss is before it"
    assert plain[1:] != page.evaluate(LEARN, ["gru", 1e-3, 0.0])[1:]
    dropped = page.evaluate(LEARN, ["gru", 1.0, 0.2])
    assert plain[0] != dropped[0]


def test_curves_have_numbers_and_headings_show_whose_they_are(page: Page) -> None:
    page.evaluate(
        """() => {
          window.written = [];
          const { fillText } = CanvasRenderingContext2D.prototype;
          CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            if (this.canvas.closest("#plots")) written.push([this.canvas.id, text]);
            return fillText.call(this, text, x, y);
          };
        }"""
    )
    page.locator("#length").fill("11")
    written = page.evaluate("written")
    of = {name: [text for id, text in written if id == name] for name in ("losses", "flow")}
    assert of["losses"][-8:] == ["0", "0.5", "1", "1.5", "2", "0", "200", "400"]
    assert of["flow"][-7:] == ["10⁻⁶", "10⁻⁴", "10⁻²", "1", "0", "5", "10"]
    lines = page.locator("#pupils h3 path")
    strokes = [lines.nth(k).get_attribute("stroke") for k in range(3)]
    assert len(set(strokes)) == 3
    page.click("#theme")
    expect(lines.first).not_to_have_attribute("stroke", strokes[0])


def updates(page: Page) -> list[int]:
    facts = page.locator("#pupils article p:first-of-type").all_inner_texts()
    return [int(re.match(r"(\d+) update", text)[1]) for text in facts]


def loss(page: Page, column: int) -> float:
    facts = page.locator("#pupils article p:first-of-type").nth(column).inner_text()
    return float(facts.split("loss ")[1])


def test_training_starts_stops_and_goes_on_from_what_was_learnt(page: Page) -> None:
    assert updates(page) == [0, 0, 0]
    page.locator("#length").fill("5")
    expect(page.locator("#length-shown")).to_have_text("5 steps")
    page.click("#learn")
    expect(page.locator("#learn")).to_contain_text("Pause")
    gru = page.locator("#pupils article p:first-of-type").nth(1)
    expect(gru).to_contain_text(re.compile(r"loss 0\.[0-2]"), timeout=60_000)
    page.click("#learn")
    expect(page.locator("#learn")).to_contain_text("Train")
    counts = updates(page)
    assert counts[0] == counts[1] == counts[2] > 10
    page.wait_for_timeout(200)
    assert updates(page) == counts
    page.locator("#transfer").check()
    assert updates(page) == [0, 0, 0]
    page.click("#learn")
    expect(gru).to_contain_text("loss")
    page.click("#learn")
    first = page.evaluate(LEARN, ["gru", 1.0, 0.0])[:10]
    assert loss(page, 1) < np.mean(first) / 2, "a start from what was learnt"


def losses_of(page: Page, cell: str, bias: float, most: int) -> list[float]:
    """The losses of so many updates of a network of the page, of 20 steps to recall."""
    return page.evaluate(
        """([cell, bias, most]) => {
          const { Learner, SHAPES, exampleOf, chanceFrom } = gated;
          const { inputs, outputs, classes } = SHAPES.recall;
          const learner = new Learner(cell, inputs, 16, outputs, classes, chanceFrom(7), bias);
          const chance = chanceFrom(7);
          return Array.from({ length: most }, () => {
            const batch = Array.from({ length: 8 }, () => exampleOf("recall", 20, chance));
            return learner.learn(batch, { clip: 1, dropout: 0, rate: 0.01 }).loss;
          });
        }""",
        [cell, bias, most],
    )


def test_an_lstm_whose_forget_gate_begins_open_recalls_as_soon_as_the_others(page: Page) -> None:
    """The figures that the page gives, of its own random start."""
    solved = np.log(4) / 10
    assert np.mean(losses_of(page, "gru", 1, 188)[-50:]) < solved
    assert np.mean(losses_of(page, "lstm", 3, 132)[-50:]) < solved
    assert np.mean(losses_of(page, "lstm", 1, 188)[-50:]) > 6 * solved
    told = page.locator("#problem-measured")
    expect(told).to_contain_text("the GRU solves it after 156 to 188 updates")
    expect(told).to_contain_text("This does not mean that the LSTM is worse")
    page.select_option("#problem-choice", "adding")
    expect(told).to_be_hidden()
    expect(page.locator("#problem-told")).to_contain_text("asked for their sum")


def test_the_switch_opens_the_forget_gate(page: Page) -> None:
    forget = page.locator("#pupils article").nth(2).locator("canvas")
    before = forget.evaluate("(of) => of.toDataURL()")
    page.check("#open-gate")
    assert forget.evaluate("(of) => of.toDataURL()") != before
