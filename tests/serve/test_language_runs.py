"""The explorer reads what `gated fit language` trains, and says the same of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gated.errors import ModelFileError
from gated.serve.character_model import load_model
from gated.serve.reading import Passage
from gated.serve.text_reader import TextReader
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


@pytest.mark.parametrize(
    "options", [{}, {"cell": "gru"}, {"cell": "rnn"}, {"tied": True, "embedding": 12}]
)
def test_a_language_model_is_read_as_it_reads(tmp_path: Path, options: dict) -> None:
    model = run_of(tmp_path, **options)
    reader = TextReader(load_model(tmp_path / "run"))
    text = "the dog jumps\nover Ü"
    found = reader.read(Passage(text=text), None)
    with torch.no_grad():
        logits = model.network(model.codes_of(text)[:, None]).logits[:, 0]
    np.testing.assert_allclose(
        found.outputs["probabilities"], logits.softmax(-1).numpy(), atol=2e-5
    )


@pytest.mark.parametrize("options", [{"layers": 2}, {"unit": "byte"}])
def test_what_it_cannot_show_is_told(tmp_path: Path, options: dict) -> None:
    run_of(tmp_path, **options)
    with pytest.raises(ModelFileError, match="one layer that read characters"):
        load_model(tmp_path / "run")


def test_reading_a_model_needs_no_torch(tmp_path: Path) -> None:
    run_of(tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom gated.serve.character_model import load_model\n"
        "from gated.serve.reading import Passage\nfrom gated.serve.text_reader import TextReader\n"
        "reading = TextReader(load_model(Path(sys.argv[1]))).read(Passage(text='the dog'), None)\n"
        "assert len(reading.outputs['probabilities']) == 7\nassert 'torch' not in sys.modules"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
