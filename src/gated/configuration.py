"""Dataclasses of options and of values learned from data: checks, and conversion to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from gated.errors import ConfigurationError, DataError, MissingExtraError, ModelFileError, option

Kind = TypeVar("Kind")


class Configuration:
    """Base of the dataclasses of options."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    _given: tuple[str, ...]

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Remember which options are given, also with their default values."""
        options = super().__new__(cls)
        object.__setattr__(options, "_given", tuple(sorted(given)))  # copies have the same order
        return options

    @property
    def given(self) -> frozenset[str]:
        """Names of the options that were given and not left at their defaults.

        `dataclasses.replace` gives all of them, and so does `from_json_values`.
        """
        return frozenset(getattr(self, "_given", self.__dataclass_fields__))

    def __post_init__(self) -> None:
        """Check that options with a `Literal` type have one of its values.

        Raises:
            ConfigurationError: one has not; the message names it and its choices.
        """
        for name, hint in get_type_hints(type(self)).items():
            kinds = {hint, *get_args(hint)}
            choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
            if not choices or ((value := getattr(self, name)) is None and NoneType in kinds):
                continue
            if value not in choices:
                raise ConfigurationError(
                    f"{option(name)} must be one of {', '.join(choices)}, not {value!r}."
                )

    def _demand(self, **least: float) -> None:
        """Refuse options below the given least values; None is allowed."""
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and not value >= bound:
                raise ConfigurationError(f"{option(name)} is {value}; it must be {bound} or more.")

    def _demand_rest(self, what: str) -> None:
        """Refuse shares `validation` and `test` that leave nothing to train on."""
        self._demand_shares("validation", "test")
        held = {name: getattr(self, name) for name in ("validation", "test")}
        if sum(held.values()) >= 1:
            shares = " and ".join(f"{option(name)} ({share})" for name, share in held.items())
            raise ConfigurationError(f"{shares} leave no {what} to train on.")

    def _demand_shares(self, *names: str, counts: tuple[str, ...] = ()) -> None:
        """Refuse options that are not from 0 to below 1; `counts` may also be whole numbers."""
        for name in (*names, *counts):
            value = getattr(self, name)
            if name in counts and value >= 1 and value == int(value):
                continue
            if not 0 <= value < 1:
                whole = ", or a whole number" if name in counts else ""
                raise ConfigurationError(
                    f"{option(name)} is {value}; it must be a share, from 0 to below 1{whole}."
                )


def json_values(fact: Any) -> Any:
    """Return a dataclass, an array, or whatever JSON knows, as JSON values.

    What is not finite becomes None, and a path one that is found from everywhere. A class that is
    no dataclass says itself what it becomes, by `to_json_value` and `from_json_value`.

    >>> json_values({"mean": np.array([0.5, np.nan]), "names": ("a",)})
    {'mean': [0.5, None], 'names': ['a']}
    """
    return msgspec.json.decode(msgspec.json.encode(fact, enc_hook=_encoded))


def from_json_values(kind: type[Kind], saved: Any) -> Kind:
    """Return the instance of `kind` from which `json_values` made `saved`.

    Raises:
        ModelFileError: a field is missing, not known, or not of its type.

    >>> from_json_values(tuple[Path, ...], ["a"])[0].name
    'a'
    """
    name = getattr(kind, "__name__", str(kind))
    fields = getattr(kind, "__dataclass_fields__", None)
    if isinstance(saved, Mapping) and fields and (strange := set(saved) - set(fields)):
        raise ModelFileError(
            f"The saved {name} holds {min(strange)!r}, which this version of gated does not know. "
            "Use the version that wrote it."
        )
    try:
        return msgspec.convert(saved, kind, dec_hook=_decoded)
    except (MissingExtraError, MemoryError):
        raise
    except Exception as error:  # damaged values may raise any error in the types' own code
        raise ModelFileError(f"The saved {name} is damaged: {error}.") from error


def demand_numbers(
    what: str, values: Any, *, count: int | None = None, above: float = -math.inf
) -> None:
    """Check values learned from data: a number, or a row of `count` numbers.

    Raises:
        DataError: one is NaN, infinite or not `above`; or there are too many or too few.

    >>> demand_numbers("The scale", [1.0, 0.0], above=0)
    Traceback (most recent call last):
        ...
    gated.errors.DataError: The scale is 0.0 at place 1; it must be finite and above 0.
    """
    row = np.atleast_1d(np.asarray(values, np.float64))
    if row.ndim != 1 or (count is not None and len(row) != count):
        raise DataError(f"{what} has the shape {row.shape}; it must be a row of {count} numbers.")
    wrong = ~(np.isfinite(row) & (row > above))
    if wrong.any():
        place = int(np.argmax(wrong))
        bound = "" if above == -math.inf else f" and above {above:g}"
        raise DataError(f"{what} is {row[place]} at place {place}; it must be finite{bound}.")


def _encoded(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.to_json_value()


def _decoded(kind: Any, saved: Any) -> Any:
    if kind is Path:
        return Path(saved)
    if (get_origin(kind) or kind) is np.ndarray:
        (scalar,) = get_args(get_args(kind)[1])
        known = isinstance(scalar, type) and issubclass(scalar, np.generic)
        return np.array(saved, scalar if known else None)
    return kind.from_json_value(saved)
