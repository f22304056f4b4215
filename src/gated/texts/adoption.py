"""Starting from another run: a network's sizes and its vocabulary go with its weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from gated.errors import ModelFileError
from gated.model_files import load_description
from gated.texts.config import ReaderConfig
from gated.texts.vocabulary import Vocabulary

Config = TypeVar("Config", bound=ReaderConfig)
ADOPTED = ("unit", "vocabulary", "cell", "embedding", "hidden", "layers", "tied")


def adopted(config: Config, run: Path) -> tuple[Config, Vocabulary]:
    """Return `config` with the network of another run that reads text, and its vocabulary.

    Raises:
        ModelFileError: `run` holds no such model, or a damaged one.
    """
    description = load_description(run)
    try:
        network = {name: description["config"][name] for name in ADOPTED}
        vocabulary = Vocabulary.from_dict(description["vocabulary"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"init_from: {run} is no run of a network that reads text ({description.get('task')})."
        ) from error
    return replace(config, **network), vocabulary
