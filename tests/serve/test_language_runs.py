"""The explorer reads what `gated fit language` trains, and says the same of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve.conftest import settle
from tests.serve.test_own_cells import saved

from gated.errors import ModelFileError
from gated.serve.character_model import load_model
from gated.serve.static_page import write_page
from gated.serve.text_exhibit import texts
from gated.tasks.language import LanguageConfig, LanguageModel, LanguageTraining

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40


def run_of(directory: Path, **options: object) -> LanguageModel:
    text = directory / "text.txt"
    text.write_text(TEXT)
    config = LanguageConfig(**{"hidden": 12, "embedding": 5, "window": 16} | options)
    training = LanguageTraining(steps=2, batch_size=4, validate_every=2, threads=1)
    model = LanguageModel(config, training).fit([text])
    model.save(directory / "run")
    return model


OPTIONS = [
    {},
    {"cell": "gru"},
    {"cell": "rnn"},
    {"tied": True, "embedding": 12},
    {"cell": "mgu"},
    {"cell": "multiplicative-lstm"},
]
READ = "dog jumps\nover Ü"


def predicted(model: LanguageModel) -> np.ndarray:
    with torch.no_grad():
        logits = model.network(model.codes_of(READ)[:, None]).logits[:, 0]
    return logits.softmax(-1).numpy()


def computed(page: Any, exhibit: str) -> np.ndarray:
    """The probabilities of the page, of the only network that it shows."""
    return np.array(
        page.evaluate(
            """async ([exhibit, text]) => {
              const { name } = gatedExhibits.find(({ name }) => name === exhibit).networks[0];
              const { probabilities } = await gated.reading(exhibit, name, text);
              return [...text].map((_, step) => [...probabilities(step)]);
            }""",
            [exhibit, READ],
        )
    )


@pytest.mark.parametrize("options", OPTIONS)
def test_a_language_model_is_read_as_it_reads(
    tmp_path: Path, opened: Callable[[str], Any], options: dict
) -> None:
    model = run_of(tmp_path, **options)
    write_page(tmp_path / "page", [texts([load_model(tmp_path / "run")])])
    page = opened((tmp_path / "page" / "index.html").as_uri() + "#tour=0")
    settle(page)
    np.testing.assert_allclose(computed(page, "run"), predicted(model), atol=2e-5)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[3]])
def test_a_run_is_opened_by_its_folder(
    tmp_path: Path, opened: Callable[[str], Any], address: str, options: dict
) -> None:
    model = run_of(tmp_path, **options)
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(tmp_path / "run")
    page.locator("#about", has_text="It has 12 units").wait_for()
    settle(page)
    np.testing.assert_allclose(computed(page, "run"), predicted(model), atol=2e-5)


def test_a_cell_that_changes_its_input_is_refused(tmp_path: Path) -> None:
    run_of(tmp_path, cell="mogrifier")
    with pytest.raises(ModelFileError, match="mogrifier, which changes its input before W reads"):
        load_model(tmp_path / "run")


def test_a_folder_without_a_network_is_told_of(
    tmp_path: Path, opened: Callable[[str], Any], address: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("nothing")
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(tmp_path / "run")
    page.locator("#problem", has_text="This folder holds no model.json").wait_for()
    page.click("#language")
    page.locator("#problem", has_text="这个文件夹里没有 model.json").wait_for()
    (tmp_path / "run" / "model.json").write_text("{}")
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(tmp_path / "run")
    page.locator("#problem", has_text="model.json 没有描述一个网络").wait_for()


@pytest.mark.parametrize("cut", ["weights", "list"])
def test_a_folder_with_a_damaged_file_is_told_of(
    tmp_path: Path, opened: Callable[[str], Any], address: str, cut: str
) -> None:
    run = tmp_path / "run"
    if cut == "weights":
        saved(run)
        (weights,) = run.glob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:-4])
        told = f"{weights.name} in run is damaged or cut short"
    else:
        run.mkdir()
        (run / "exhibit.js").write_text("window.gatedExhibits = [")
        told = "exhibit.js in run does not describe a network"
    page = opened(f"{address}#text=dog&language=en&theme=light")
    settle(page)
    with page.expect_file_chooser() as chooser:
        page.click("#open")
    chooser.value.set_files(run)
    page.locator("#problem", has_text=told).wait_for()


@pytest.mark.parametrize("options", [{"layers": 2}, {"unit": "byte"}])
def test_what_it_cannot_show_is_told(tmp_path: Path, options: dict) -> None:
    run_of(tmp_path, **options)
    with pytest.raises(ModelFileError, match="one layer that read characters"):
        load_model(tmp_path / "run")


def test_loading_a_model_needs_no_torch(tmp_path: Path) -> None:
    run_of(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom gated.serve.character_model import load_model\n"
        "from gated.serve.text_exhibit import texts\n"
        "exhibit = texts([load_model(Path(sys.argv[1]))])\n"
        "assert len(exhibit.files) == 1\nassert 'torch' not in sys.modules"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
