"""Dataclasses of options and of values learned from data: checks, and conversion to JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from gated.errors import (
    ConfigurationError,
    DataError,
    MissingExtraError,
    ModelFileError,
    option,
    require,
)

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
    json = require("msgspec.json", extra="train")
    return json.decode(json.encode(fact, enc_hook=_encoded))


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
        return cast(Kind, _decoded(kind, saved, "$"))
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


def _decoded(kind: Any, saved: Any, place: str) -> Any:
    """Return the instance of a type from JSON values; raises `ValueError` where they are others."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if kind is Any:
        return saved
    if origin in (Union, UnionType):
        return _one_of(arguments, saved, place)
    if origin is Literal:
        if not any(saved == of and type(saved) is type(of) for of in arguments):
            raise ValueError(f"Invalid value {saved!r} - at `{place}`")
        return saved
    if kind is NoneType or kind in (bool, int, str):
        return _demanded(kind, saved, place)
    if kind is float:
        return float(saved) if type(saved) is int else _demanded(float, saved, place)
    if kind is Path:
        return Path(_demanded(str, saved, place))
    if origin is np.ndarray:
        (scalar,) = get_args(arguments[1])
        known = isinstance(scalar, type) and issubclass(scalar, np.generic)
        return np.array(saved, scalar if known else None)
    if origin in (tuple, list, set, frozenset, Sequence):
        return _row(origin, arguments, _demanded(list, saved, place), place)
    if origin in (dict, Mapping):
        key, value = arguments or (Any, Any)
        values = _demanded(dict, saved, place).items()
        return {_decoded(key, k, place): _decoded(value, v, f"{place}[...]") for k, v in values}
    if is_dataclass(kind):
        return _instance(kind, _demanded(dict, saved, place), place)
    if issubclass(kind, tuple):  # a NamedTuple, which JSON has as a row
        types = tuple(get_type_hints(kind).values())
        return kind(*_row(tuple, types, _demanded(list, saved, place), place))
    return kind.from_json_value(saved)


def _demanded(kind: type, saved: Any, place: str) -> Any:
    if type(saved) is not kind:
        names = {dict: "object", list: "array", NoneType: "null"}
        wanted, got = (names.get(of, of.__name__) for of in (kind, type(saved)))
        raise ValueError(f"Expected `{wanted}`, got `{got}` - at `{place}`")
    return saved


def _one_of(kinds: Sequence[Any], saved: Any, place: str) -> Any:
    """The first of several types that fits, whole numbers before others."""
    errors = []
    for kind in sorted(kinds, key=lambda of: of is float):
        try:
            return _decoded(kind, saved, place)
        except (ValueError, TypeError, AttributeError) as error:
            if kind is not NoneType:
                errors.append(str(error))
    raise ValueError("; ".join(errors))


def _row(origin: Any, kinds: Sequence[Any], saved: list[Any], place: str) -> Any:
    if origin is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(saved) != len(kinds):
            raise ValueError(f"Expected `array` of length {len(kinds)} - at `{place}`")
        each = kinds
    else:
        each = [kinds[0] if kinds else Any] * len(saved)
    found = (
        _decoded(kind, of, f"{place}[{number}]")
        for number, (kind, of) in enumerate(zip(each, saved, strict=True))
    )
    return list(found) if origin is Sequence else origin(found)


def _instance(kind: Any, saved: dict[str, Any], place: str) -> Any:
    hints, given = _hints(kind), {}
    for field in fields(kind):
        if field.name in saved:
            value = saved[field.name]
            given[field.name] = _decoded(hints[field.name], value, f"{place}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"Object missing required field `{field.name}` - at `{place}`")
    return kind(**given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
