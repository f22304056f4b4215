"""One entry of a program, read with checks: every option is asked for by what it must be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gated.core.arguments import StoredAs
from gated.errors import ModelFileError

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MOST_FEATURES = 1 << 20
"""Features of a value at most, so that no file asks for more memory than it has weights."""
MOST_STEPS = 1 << 16
"""Steps that a patch joins at most."""
_REQUIRED: Any = object()


class Entry:
    """The options of a layer, of the input or of the output of a program.

    Args:
        options: from the file.
        where: what is read, for messages.
        arrays: the weights by name.
        stored_as: how layers are to store packed weights.
    """

    def __init__(
        self,
        options: Any,
        where: str,
        arrays: Mapping[str, NDArray[Any]],
        stored_as: StoredAs = "float32",
    ) -> None:
        self.where, self.stored_as, self._arrays = where, stored_as, arrays
        if not isinstance(options, Mapping):
            raise self.wrong(f"must be an object, got {type(options).__name__}")
        self._left = dict(options)

    def wrong(self, what: str) -> ModelFileError:
        """Return the error that says what is wrong with the entry."""
        return ModelFileError(f"{self.where} {what}")

    def finish(self) -> None:
        """Refuse options that nothing has asked for."""
        if self._left:
            raise self.wrong(f"has the option {min(self._left)!r}, which is not known")

    def _take(self, name: str, default: Any) -> Any:
        if name in self._left:
            return self._left.pop(name)
        if default is _REQUIRED:
            raise self.wrong(f"lacks {name!r}")
        return default

    def whole(self, name: str, least: int, most: int, default: int = _REQUIRED) -> int:
        """Return a whole number from `least` to `most`."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(f"has {name} = {value!r}: a whole number from {least} to {most:,}")
        return value

    def number(self, name: str, above: float = -math.inf, default: float = _REQUIRED) -> float:
        """Return a finite number above a bound."""
        return float(self.numbers(name, 1, above, [default])[0])

    def numbers(
        self, name: str, count: int | None, above: float = -math.inf, default: Any = _REQUIRED
    ) -> Floats:
        """Return finite numbers above a bound, `count` of them or any; a single one stands alone.

        The default, where there is one, is a list.
        """
        needed = default is _REQUIRED or default == [_REQUIRED]
        value = self._take(name, _REQUIRED if needed else default)
        row = value if isinstance(value, list) else [value]
        kinds = all(isinstance(of, int | float) and not isinstance(of, bool) for of in row)
        if not kinds or (count is not None and len(row) != count):
            raise self.wrong(f"must have {'any' if count is None else count} numbers as {name!r}")
        try:
            found = np.array(row, np.float64)
        except OverflowError:
            found = np.array([math.inf])
        if not (np.isfinite(found) & (found > above)).all():
            bound = "" if above == -math.inf else f" above {above:g}"
            raise self.wrong(f"has {name!r} with what is not a finite number{bound}")
        found.flags.writeable = False
        return found

    def wholes(self, name: str, least: int, most: int, count: int | None = None) -> tuple[int, ...]:
        """Return a list of whole numbers from `least` to `most`, `count` of them or one or more."""
        value = self._take(name, _REQUIRED)
        fits = isinstance(value, list) and (len(value) == count if count else len(value) > 0)
        if not fits or not all(
            isinstance(of, int) and not isinstance(of, bool) and least <= of <= most for of in value
        ):
            raise self.wrong(
                f"must have {count or 'some'} whole numbers from {least} to {most:,} as {name!r}"
            )
        return tuple(value)

    def named_numbers(self, name: str) -> dict[str, float]:
        """Return finite numbers by name; none where the option is not there."""
        value = self._take(name, {})
        if not isinstance(value, Mapping):
            raise self.wrong(f"must have numbers by name as {name!r}")
        within = Entry(value, f"{self.where}: {name}", {})
        return {str(of): within.number(of) for of in value}

    def text(self, name: str, choices: Sequence[str] = (), default: str = _REQUIRED) -> str:
        """Return a text, one of the `choices` if there are any."""
        value = self._take(name, default)
        if not isinstance(value, str) or (choices and value not in choices):
            wanted = f"one of {', '.join(choices)}" if choices else "a text"
            raise self.wrong(f"has {name} = {value!r}: it must be {wanted}")
        return value

    def texts(self, name: str, default: Any = _REQUIRED) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._take(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(of, str) for of in value):
            raise self.wrong(f"must have a list of texts as {name!r}")
        return tuple(value)

    def flag(self, name: str, default: bool) -> bool:
        """Return whether something is so."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(f"has {name} = {value!r}: it must be true or false")
        return value

    def array(self, name: str, *shape: int | None) -> Singles:
        """Return the weights that an option names, of this shape; None is any size from 1 on."""
        return self.weights(self.text(name), *shape)

    def optional(self, name: str, *shape: int | None) -> Singles | None:
        """Return the weights that an option names; None without that option."""
        return self.array(name, *shape) if name in self._left else None

    def weights(self, name: str, *shape: int | None) -> Singles:
        """Return the weights of this name and shape; they cannot be changed."""
        array = self._there(name)
        fits = array.ndim == len(shape) and all(
            size == wanted or (wanted is None and 0 < size <= MOST_FEATURES)
            for size, wanted in zip(array.shape, shape, strict=True)
        )
        if not fits or array.dtype != np.float32:
            wanted = ", ".join("any" if of is None else str(of) for of in shape)
            raise self.wrong(
                f"needs the weights {name!r} as float32 of the shape ({wanted}); they are "
                f"{array.dtype} of {array.shape}"
            )
        fixed: Singles = np.asarray(array, order="C").view()
        fixed.flags.writeable = False
        return fixed

    def stored(self, name: str, kind: str, *shape: int | None) -> NDArray[Any]:
        """Return an array that an option names, of a kind of numbers such as uint8.

        Its shape is this one; None is any size. It cannot be changed.
        """
        return self.kept(self.text(name), kind, *shape)

    def kept(self, named: str, kind: str, *shape: int | None) -> NDArray[Any]:
        """Return the array of this name, as `stored` does."""
        array = self._there(named)
        fits = array.ndim == len(shape) and all(
            wanted in (None, size) for size, wanted in zip(array.shape, shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(kind):
            wanted = ", ".join("any" if of is None else str(of) for of in shape)
            raise self.wrong(
                f"needs {named!r} as {kind} of the shape ({wanted}); it is {array.dtype} of "
                f"{array.shape}"
            )
        fixed = np.asarray(array, order="C").view()
        fixed.flags.writeable = False
        return fixed

    def codes(self, name: str, count: int, *shape: int | None) -> NDArray[np.int64]:
        """Return an array of codes from 0 to `count` - 1, int32, that an option names."""
        found = self.stored(name, "int32", *shape)
        if found.size and not (found.min() >= 0 and found.max() < count):
            raise self.wrong(f"has {name!r} with what is not a code from 0 to {count - 1:,}")
        return found.astype(np.int64)

    def _there(self, name: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        if array is None:
            raise self.wrong(f"needs the weights {name!r}, which are not there")
        return array

    def has_weights(self, name: str) -> bool:
        """Whether there are weights of this name."""
        return name in self._arrays
