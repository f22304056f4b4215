"""Networks over characters as the explorer shows them: it runs them in the page itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gated.serve.character_model import BUNDLED, CharacterModel, load_models
from gated.serve.exhibit import Exhibit, describe, describe_cell
from gated.serve.network_script import network_script

LONGEST = 5_000
"""Characters of a text at most."""
TITLES = {
    "shakespeare": ("en", {"en": "Shakespeare (English)", "zh": "莎士比亚（英文）"}),
    "tang": ("zh", {"en": "Tang poems (Chinese)", "zh": "唐诗（中文）"}),
}
"""Language and title of the networks that come with the package, by their directory."""


def bundled_texts() -> list[Exhibit]:
    """Return the exhibits of the networks that come with the package."""
    return [
        texts(load_models(BUNDLED / name), name, language, title)
        for name, (language, title) in TITLES.items()
    ]


def texts(
    models: Sequence[CharacterModel],
    name: str = "run",
    language: str | None = None,
    title: Mapping[str, str] | None = None,
) -> Exhibit:
    """Return the exhibit of `models`, whose cells differ.

    Args:
        models: the networks; the last one is shown first.
        name: of the exhibit, in links to it.
        language: of the texts that the networks were trained on, if the page speaks it.
        title: in English and Chinese, by `en` and `zh`; by default the name.
    """
    files = {f"networks/{name}/{model.name}.js": model.file for model in models}
    offered = {
        "kind": "text",
        "name": name,
        "language": language,
        "title": dict(title or {"en": name, "zh": name}),
        "longest": LONGEST,
        "passages": models[-1].description.get("passages", {}),
        "guide": _guide(models),
        "networks": [
            {**_describe(model), "file": file} for model, file in zip(models, files, strict=True)
        ],
    }
    scripts = {path: network_script(path, file) for path, file in files.items()}
    return Exhibit(offered, files=scripts)


def _guide(models: Sequence[CharacterModel]) -> Any:
    """Return what the tour is about: its network, and a passage with at least two ends of lines."""
    description = models[-1].description
    guide, passages = description.get("guide"), description.get("passages", {})
    if not guide or guide["network"] not in [model.name for model in models]:
        return None
    ends = guide.get("ends", "\n")
    if sum(passages.get(guide["passage"], "").count(end) for end in ends) < 2:
        return None
    return {**guide, "ends": ends}


def _describe(model: CharacterModel) -> dict[str, Any]:
    trained_on = model.description.get("trained_on", "")
    own = model.definition
    return {
        **(
            describe(model.name, model.cell, model.units)
            if own is None
            else describe_cell(own, model.name, model.units)
        ),
        "relu": model.cell == "rnn_relu",
        "vocabulary": model.vocabulary,
        "trained_on": trained_on
        if isinstance(trained_on, dict)
        else {"en": trained_on, "zh": trained_on},
        "score": model.description.get("bits_per_character"),
    }
