from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gated.configuration import Configuration, from_json_values, json_values
from gated.errors import ConfigurationError, ModelFileError
from gated.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Options(Configuration):
    shape: Literal["round", "square"] = "round"
    size: int = 3
    share: float = 0.5
    held: int | float = 0.2

    def __post_init__(self):
        super().__post_init__()
        self._demand(size=1)
        self._demand_shares("share", counts=("held",))


@dataclass
class Learned:
    options: Options
    mean: NDArray[np.float32]
    names: tuple[str, ...] = ()


def test_options_go_through_json():
    options = TrainingOptions(freeze=("encoder",), init_from=Path("first"), seed=3)
    saved = json_values(options)
    assert saved["freeze"] == ["encoder"]
    assert saved["init_from"] == str(Path("first").resolve())
    again = from_json_values(TrainingOptions, saved)
    assert again == TrainingOptions(freeze=("encoder",), init_from=Path("first").resolve(), seed=3)


def test_what_is_given_is_known_also_where_it_is_as_usual():
    assert Options(size=3, shape="round").given == {"size", "shape"}
    assert Options().given == frozenset()
    assert from_json_values(Options, json_values(Options(size=3))).given == {
        "shape",
        "size",
        "share",
        "held",
    }
    assert Options(size=3) == Options()


class Place(NamedTuple):
    names: tuple[str, ...]
    weight: float | None = None


def test_named_rows_go_through_json():
    places = [Place(("a", "b"), 1.0), Place(())]
    assert json_values(places) == [[["a", "b"], 1.0], [[], None]]
    assert from_json_values(list[Place], json_values(places)) == places
    with pytest.raises(ModelFileError, match="length 2"):
        from_json_values(Place, [["a"]])


def test_what_was_learned_goes_through_json_with_its_types():
    learned = Learned(Options(size=5), np.array([1.5, np.nan], np.float32), ("a", "b"))
    again = from_json_values(Learned, json_values(learned))
    assert (again.options, again.names) == (learned.options, learned.names)
    assert again.mean.dtype == np.float32
    np.testing.assert_array_equal(again.mean, learned.mean)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shape": "flat"}, "shape must be one of round, square, not 'flat'"),
        ({"size": 0}, "size is 0; it must be 1 or more"),
        ({"share": 1.0}, "share is 1.0; it must be a share, from 0 to below 1"),
        ({"held": 1.5}, "held is 1.5; it must be a share, from 0 to below 1, or a whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(given, told):
    with pytest.raises(ConfigurationError, match=told):
        Options(**given)
    with pytest.raises(ModelFileError, match="The saved Options is damaged"):
        from_json_values(Options, given)


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        ({"colour": 1}, "holds 'colour', which this version"),
        ({"size": "many"}, r"Expected `int`, got `str` - at `\$.size`"),
        ([], "is damaged"),
    ],
)
def test_damage_is_a_model_file_error(saved, told):
    with pytest.raises(ModelFileError, match=told):
        from_json_values(Options, saved)
