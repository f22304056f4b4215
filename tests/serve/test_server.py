"""What the explorer's server answers, and the page as files."""

from __future__ import annotations

import base64
import gzip
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays

from gated.cli.app import run
from gated.errors import ModelFileError
from gated.model_files import save_model
from gated.serve.character_model import CharacterModel, load_models
from gated.serve.compact import expanded
from gated.serve.static_page import PAGE
from gated.serve.text_exhibit import texts

LARGEST_NETWORK = 250_000
LARGEST_PAGE = 200_000


def test_only_this_machine_may_ask(address: str) -> None:
    request = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as error:
        assert error.code == 400


def test_the_page_comes_with_its_policy(address: str) -> None:
    with urllib.request.urlopen(address) as answer:
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "gated explore" in answer.read().decode()


def test_a_directory_without_a_network_over_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"holds model\.json"):
        load_models(tmp_path)
    save_model(tmp_path, {}, {"task": "forecast"})
    with pytest.raises(ModelFileError, match="task 'forecast'"):
        load_models(tmp_path)


def test_the_tour_has_its_story_only_where_there_is_one(models: list[CharacterModel]) -> None:
    assert texts(models).offered["guide"] == {
        "network": "lstm",
        "passage": "Hamlet",
        "unit": 15,
        "ends": "\n",
    }
    assert texts(models[:2]).offered["guide"] is None
    lstm = models[-1]
    for change in ({"passages": {"Hamlet": "one line"}}, {"passages": {}}, {"guide": None}):
        other = replace(lstm, description=lstm.description | change)
        assert texts([other]).offered["guide"] is None


def test_the_page_is_files_that_need_no_server(
    tmp_path: Path, opened: Callable[[str], Any], models: list[CharacterModel]
) -> None:
    assert run(["explore", "--out", str(tmp_path / "page")]) == 0
    page = opened((tmp_path / "page" / "index.html").as_uri() + "#network=lstm&step=5&language=en")
    page.locator("#moment", has_text="step 5 of 579").wait_for()
    page.locator("body[aria-busy=false]").wait_for(state="attached")
    page.locator("#exhibit").select_option("tang")
    page.locator("#about", has_text="poems of the Tang").wait_for()
    page.locator("body[aria-busy=false]").wait_for(state="attached")
    script = (tmp_path / "page/networks/shakespeare/lstm.js").read_text()
    weights = base64.b64decode(re.search(r'","(.*)"\);', script)[1])
    arrays = expanded(load_arrays(weights))
    np.testing.assert_array_equal(arrays["output.weight"], models[-1].output_weight)


def test_page_and_networks_are_small(tmp_path: Path) -> None:
    assert run(["explore", "--out", str(tmp_path)]) == 0
    networks = [path.stat().st_size for path in tmp_path.rglob("networks/**/*.js")]
    assert len(networks) > 3
    assert max(networks) <= LARGEST_NETWORK
    page = [path for path in tmp_path.iterdir() if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in page) <= LARGEST_PAGE
    assert {path.name for path in PAGE.iterdir()} - {"build.json"} < {path.name for path in page}
