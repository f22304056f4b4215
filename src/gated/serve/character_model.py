"""Character-level networks, loaded with NumPy alone.

Shapes: T steps, V characters in the vocabulary, H hidden units, G gates of the cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated import model_files
from gated.cells import Cell, library
from gated.cells.check_document import check_document
from gated.cells.named import USUAL, cell_named
from gated.core.layout import Weights, layout_of
from gated.errors import CellError, ConfigurationError, ModelFileError, require
from gated.model_files import FILE_NAME, Arrays, load_description
from gated.serve.compact import expanded
from gated.serve.exhibit import NAMES

Floats = NDArray[np.float32]
TASK = "characters"
LANGUAGE = "language"
"""The task of `gated fit language`; its models of one layer over characters are loaded too."""
BUNDLED = Path(__file__).parent / "models"
"""The networks that come with the package: `shakespeare`, which `examples/explorer_models.py`
trains, and `tang`, which `examples/explorer_poems.py` trains."""


@dataclass(frozen=True)
class CharacterModel:
    """A recurrent layer over one-hot characters, and a linear layer that predicts the next one."""

    cell: str
    """One of `NAMES`, or the name of the cell in `definition`."""
    weights: Weights[Any]
    """Of a cell of one's own, those that it has."""
    output_weight: Floats
    """(V, H)"""
    output_bias: Floats
    """(V,)"""
    vocabulary: str
    """The V characters; the first stands for any character that is not among them."""
    description: dict[str, Any]
    """The description in the model's file."""
    file: bytes
    """Its weights as a safetensors file, as they are stored."""
    definition: Mapping[str, Any] | None = None
    """The document of a cell that is none of `NAMES` (see `gated.cells.Cell.document`)."""

    @property
    def units(self) -> int:
        """H, the number of hidden units."""
        return int(self.output_weight.shape[1])

    @property
    def name(self) -> str:
        """`rnn`, `gru` or `lstm`, or the name of a cell of one's own."""
        return self.cell if self.definition else NAMES[self.cell]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Return the index of each character in the vocabulary, (T,); 0 for unknown characters."""
        places = {character: place for place, character in enumerate(self.vocabulary)}
        return np.array([places.get(character, 0) for character in text], np.int64)

    def one_hot(self, characters: NDArray[np.int64]) -> Floats:
        """Return the input of the layer, (T, 1, V), for the indices of characters, (T,)."""
        x = np.zeros((len(characters), 1, len(self.vocabulary)), np.float32)
        x[np.arange(len(characters)), 0, characters] = 1
        return x


def load_models(directory: Path | None = None) -> list[CharacterModel]:
    """Load the model in `directory`, or those in its subdirectories, the plain RNN first.

    Args:
        directory: of one trained network over characters, or of several; None for those of
            English that come with the package.

    Raises:
        ModelFileError: there is no model, it is damaged, or it does not read characters.
    """
    directory = BUNDLED / "shakespeare" if directory is None else directory
    models = [load_model(found) for found in model_directories(directory)]
    order = list(dict.fromkeys(NAMES.values()))
    models.sort(key=lambda model: [*order, model.name].index(model.name))
    if len({model.name for model in models}) < len(models):
        raise ModelFileError(
            f"{directory} holds two networks with the same cell. Give the directory of one of them."
        )
    return models


def model_directories(directory: Path) -> list[Path]:
    """Return `[directory]` if it holds a model, else its subdirectories with a model, by name.

    Raises:
        ModelFileError: there is none.
    """
    if (directory / FILE_NAME).exists():
        return [directory]
    found = [path.parent for path in sorted(directory.glob(f"*/{FILE_NAME}"))]
    if not found:
        raise ModelFileError(
            f"Neither {directory} nor a directory in it holds {FILE_NAME}. Give the directory of a "
            "trained network, or none to explore the networks that come with gated."
        )
    return found


def load_model(directory: Path) -> CharacterModel:
    """Load a model over characters and its weights.

    Raises:
        ModelFileError: a file is missing or damaged, or the model does not read characters.
    """
    path, description = directory / FILE_NAME, load_description(directory)
    task, cell = description.get("task"), description.get("cell")
    if task == LANGUAGE:
        _check_characters(path, description)
        cell = description["config"].get("cell")
        if cell not in USUAL:
            return _load_own(directory, path, task, _library_cell(path, cell))
    elif task == TASK and isinstance(cell, dict):
        return _load_own(directory, path, task, cell)
    elif task == TASK and cell in [*_library()]:
        return _load_own(directory, path, task, _library()[cell].document)
    elif task != TASK:
        raise ModelFileError(
            f"{path} describes a network of the task {task!r}; the explorer shows those of the "
            f"tasks {LANGUAGE!r} and 'forecast', and single layers over characters ({TASK!r}). To "
            f"look into this one, run `gated explain {directory} DATA --out report`."
        )
    elif cell not in [*NAMES]:
        raise ModelFileError(
            f"{path} describes a network over characters with the cell {cell!r}; the explorer "
            f"shows the cells {', '.join(NAMES)}, one of gated.cells.library, or the `document` "
            "of a cell of one's own."
        )
    stored, description = model_files.load_model(directory, task)
    safetensors = require("safetensors.numpy", extra="explore")
    layer_names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    names = [*(f"recurrent.{part}_l0" for part in layer_names), "output.weight", "output.bias"]
    try:
        state = expanded(stored)
        if task == LANGUAGE:
            description, state = _over_characters(description, state)
        elif "embedding.weight" in state:
            state = _multiplied_out(state)
        *layer, output_weight, output_bias = (state[name] for name in names)
        model = CharacterModel(
            cell=description["cell"],
            weights=Weights(*layer),
            output_weight=output_weight,
            output_bias=output_bias,
            vocabulary=description["vocabulary"],
            description=description,
            file=safetensors.save(stored),
        )
        V, H, G = len(model.vocabulary), model.units, len(layout_of(model.cell).gates)
    except (KeyError, IndexError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(
            f"The model in {directory} is not one of a single layer over characters "
            f"({type(error).__name__}: {error})."
        ) from error
    shapes = [state[name].shape for name in names]
    expected = [(G * H, V), (G * H, H), (G * H,), (G * H,), (V, H), (V,)]
    if shapes != expected:
        raise ModelFileError(
            f"The weights of the model in {directory} have the shapes {shapes}, but its "
            f"description asks for {expected}."
        )
    return model


def _library() -> dict[str, Cell]:
    """Return the cells of the library that are none of `NAMES`, by name."""
    found = {name: of for name, of in vars(library).items() if isinstance(of, Cell)}
    return {name: of for name, of in found.items() if name not in NAMES}


def _library_cell(path: Path, name: Any) -> Any:
    """Return the document of a language model's cell, which must read its input by W alone."""
    try:
        document = cell_named(str(name)).document
    except ConfigurationError as error:
        raise ModelFileError(f"{path}: {error}") from error
    nodes = document["nodes"]
    inputs = [place for place, of in enumerate(nodes) if of["operation"] == "input"]
    readers = [of for of in nodes if set(of["arguments"]) & {*inputs}]
    if any((of["about"] or {}).get("name") != "weight_ih" for of in readers):
        raise ModelFileError(
            f"{path} has the cell {name}, which changes its input before W reads it; the explorer "
            "shows characters as inputs, and here the inputs are embeddings of them."
        )
    return document


def _load_own(directory: Path, path: Path, task: str, document: Any) -> CharacterModel:
    """Load a model whose cell, of the library or of one's own, is given by a document."""
    try:
        definition = check_document(document)
    except CellError as error:
        raise ModelFileError(f"{path}: cell: {error}") from error
    stored, description = model_files.load_model(directory, task)
    safetensors = require("safetensors.numpy", extra="explore")
    if task == LANGUAGE:
        try:
            known, stored = _over_characters(description, expanded(stored))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ModelFileError(
                f"The model in {directory} is not one of a single layer over characters "
                f"({type(error).__name__}: {error})."
            ) from error
        description = description | known
    state, vocabulary = expanded(stored), description.get("vocabulary")
    if not isinstance(vocabulary, str) or not vocabulary:
        raise ModelFileError(f"{path}: vocabulary is {vocabulary!r}; expected its characters.")
    layer = [*definition["matrices"], *definition["parameters"]]
    needed = ["output.weight", "output.bias", *(f"recurrent.{of['name']}_l0" for of in layer)]
    missing = [name for name in needed if name not in state]
    if missing:
        raise ModelFileError(
            f"The model in {directory} is not one of a single layer over characters with the cell "
            f"{definition['name']}: it has no {', '.join(missing)}."
        )
    output = state["output.weight"]
    H, V = output.shape[-1], len(vocabulary)
    sizes = {"H": H, "I": V, "P": H, "1": 1}
    expected: dict[str, tuple[int, ...]] = {"output.weight": (V, H), "output.bias": (V,)}
    for of in definition["matrices"]:
        shape = len(of["gates"]) * sizes[of["rows"]], sizes[of["columns"]] // of["heads"]
        expected[f"recurrent.{of['name']}_l0"] = shape
    widths = {
        node["about"]["name"]: () if node["width"] == "1" else (sizes[node["width"]],)
        for node in definition["nodes"]
        if node["operation"] == "parameter"
    }
    for of in definition["parameters"]:
        if of["name"] in widths:
            several = (len(of["gates"]),) if len(of["gates"]) > 1 else ()
            expected[f"recurrent.{of['name']}_l0"] = several + widths[of["name"]]
    shapes = {name: state[name].shape for name in expected}
    if shapes != expected:
        raise ModelFileError(
            f"The weights of the model in {directory} have the shapes {shapes}, but its "
            f"description asks for {expected}."
        )
    name = definition["name"]
    return CharacterModel(
        cell=f"own_{name}" if name in NAMES.values() else name,
        weights=Weights(
            *(state.get(f"recurrent.{part}_l0") for part in ("weight_ih", "weight_hh"))
        ),
        output_weight=output,
        output_bias=state["output.bias"],
        vocabulary=vocabulary,
        description=description,
        file=safetensors.save(stored),
        definition=definition,
    )


def _check_characters(path: Path, description: dict[str, Any]) -> None:
    config = description.get("config")
    config = config if isinstance(config, dict) else {}
    if config.get("unit") != "character" or config.get("layers") != 1:
        raise ModelFileError(
            f"{path} is a language model of {config.get('layers')} layers that reads "
            f"{config.get('unit')}s; the explorer shows models of one layer that read characters."
        )


def _multiplied_out(state: Arrays) -> Arrays:
    """Return weights without the embedding E: input W_ih · Eᵀ, output E · P of a projection P."""
    embedding = state["embedding.weight"]
    return {
        **state,
        "recurrent.weight_ih_l0": state["recurrent.weight_ih_l0"] @ embedding.T,
        "output.weight": embedding @ state["projection.weight"],
    }


def _over_characters(description: dict[str, Any], state: Arrays) -> tuple[dict[str, Any], Arrays]:
    """Convert a language model to one layer over one-hot characters.

    Its input weights are W_ih · embeddingᵀ.
    """
    config = description["config"]
    embedding = state["embedding.weight"]
    first = "layers.0."
    recurrent = {
        f"recurrent.{name.removeprefix(first)}": of
        for name, of in state.items()
        if name.startswith(first)
    }
    known = {
        "task": TASK,
        "cell": "rnn_tanh" if config["cell"] == "rnn" else config["cell"],
        "vocabulary": "\N{REPLACEMENT CHARACTER}"
        + "".join(map(chr, description["vocabulary"]["points"])),
    }
    return known, {
        **recurrent,
        "recurrent.weight_ih_l0": state["layers.0.weight_ih_l0"] @ embedding.T,
        "output.weight": state.get("readout.weight", embedding),
        "output.bias": state["readout.bias"],
    }
