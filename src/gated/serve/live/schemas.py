"""What a network takes and gives as JSON: exact schemas, made from its program.

Shapes: T steps, F features of the input, O of a prediction.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import create_model as new_model

from gated.errors import DataError
from gated.live import Model

Singles = NDArray[Any]

LARGEST = 1e30
"""The largest number that is read: its scaled value is still a float32."""
MOST_PADDED = 1 << 16
"""Steps, with padding, of sequences that are run side by side."""
MOST_NUMBERS = 1_000_000
"""Numbers of an answer."""


class Exchange:
    """What requests to a model hold, checked, and what answers hold.

    Args:
        model: that answers.
        most_steps: of all sequences of a request together.
    """

    def __init__(self, model: Model, most_steps: int) -> None:
        self.model, self.most_steps = model, most_steps
        given, output = model.program.input, model.program.output
        self.codes = given.kind != "numbers"
        self.text = given.codes("a") is not None
        """Whether texts can be given."""
        self.at_each_step = output.form.kind != "sequence"
        self.features = output.form.features
        step: Any
        if self.codes:
            step = Annotated[int, Field(strict=True, ge=0, lt=given.form.features)]
        else:
            number: Any = Annotated[
                float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)
            ]
            number = number | None if given.missing else number
            F = given.form.features
            wide = Field(min_length=F, max_length=F, fail_fast=True)
            step = Annotated[list[number], wide]
        many = Field(min_length=1, max_length=most_steps, fail_fast=True)
        sequence: Any = Annotated[list[step], many]
        if self.text:
            longest = Field(min_length=1, max_length=most_steps)
            text: Any = Annotated[str, Field(strict=True), longest]
            sequence = text if given.kind == "text" else text | sequence
            letter: Any = Annotated[str, Field(strict=True, min_length=1, max_length=4)]
            step = letter if given.kind == "text" else letter | step
        closed = ConfigDict(extra="forbid")
        fields: dict[str, Any] = {"inputs": (Annotated[list[sequence], many], ...)}
        if self.at_each_step:
            fields["all_steps"] = (Annotated[bool, Field(strict=True)], False)
        self.request = new_model("Inputs", __config__=closed, **fields)
        self.step = new_model(
            "Step",
            __config__=closed,
            step=(Annotated[int, Field(strict=True, ge=1, lt=1 << 53)], ...),
            x=(step, ...),
        )
        prediction = Annotated[
            list[float], Field(min_length=self.features, max_length=self.features)
        ]
        answers: Any = prediction
        if self.at_each_step:
            answers = prediction | list[prediction]
        self.response = new_model("Predictions", predictions=(list[answers], ...))
        self._request, self._step = TypeAdapter(self.request), TypeAdapter(self.step)

    @property
    def expected(self) -> str:
        """What a sequence must be, in words."""
        if self.model.program.input.kind == "text":
            return "a text"
        steps = f"a list of steps, each {self.expected_step}"
        return f"a text, or {steps}" if self.text else steps

    @property
    def expected_step(self) -> str:
        """What a step must be, in words."""
        given = self.model.program.input
        if given.kind == "text":
            return "a character"
        if self.codes:
            code = f"a whole number from 0 to {given.form.features - 1}"
            return f"{code}, or a text of one step" if self.text else code
        F = given.form.features
        names = f" ({', '.join(given.names)})" if given.names else ""
        numbers = f"a list of {F} number{'s' * (F > 1)}{names}"
        return numbers + (", null where a value is missing" if given.missing else "")

    def predict(self, body: bytes) -> bytes:
        """Answer a request.

        Raises:
            DataError: it is not what was expected; the message says what was.
        """
        wanted = '{"inputs": [SEQUENCE, …]}, a SEQUENCE being ' + self.expected
        asked = _read(self._request, body, wanted)
        sequences = [self._sequence(of) for of in asked.inputs]
        total = sum(map(len, sequences))
        if total > self.most_steps:
            raise DataError(
                f"inputs: {total:,} steps together; {self.most_steps:,} are taken (--steps)"
            )
        every = self.at_each_step and asked.all_steps
        numbers = (total if every else len(sequences)) * self.features
        if numbers > MOST_NUMBERS:
            raise DataError(
                f"inputs: the answer would have {numbers:,} numbers; {MOST_NUMBERS:,} are given. "
                "Send fewer, or leave out all_steps"
            )
        found: list[Any] = [None] * len(sequences)
        for places in side_by_side([len(of) for of in sequences]):
            with np.errstate(all="ignore"):
                results = self.model([sequences[place] for place in places])
            for place, result in zip(places, results, strict=True):
                if not np.isfinite(result).all():
                    raise DataError(
                        f"inputs.{place}: its prediction is no finite number, since it holds "
                        "numbers far outside those that the network was trained on"
                    )
                one = not self.at_each_step or every
                found[place] = (result if one else result[-1]).tolist()
        return json.dumps({"predictions": found}).encode()

    def _sequence(self, given: Any) -> Any:
        if self.codes:
            return self._codes(given) if isinstance(given, str) else np.array(given, np.int64)
        return np.array(given, np.float64)  # None becomes NaN

    def _codes(self, text: str) -> Singles:
        codes = self.model.program.input.codes(text)
        if codes is None:
            raise DataError("this model reads no texts")
        return codes

    def read_step(self, message: str | bytes) -> tuple[int, Any]:
        """Return number and values of a step of a stream.

        Raises:
            DataError: the message is not what was expected; it says what was.
        """
        wanted = '{"step": NUMBER, "x": STEP}, a STEP being ' + self.expected_step
        asked = _read(self._step, message, wanted)
        x = asked.x
        if isinstance(x, str):
            codes = self._codes(x)
            if len(codes) != 1:
                raise DataError(f"x: {x!a} is {len(codes)} steps; send one after the other")
            x = int(codes[0])
        return asked.step, x if self.codes else np.array(x, np.float64)

    def write_prediction(self, found: Singles | None) -> str:
        """Return a prediction of a stream as JSON: null where there is none, or no number."""
        if found is None:
            return "null"
        numbers = found.tolist()
        if not all(map(math.isfinite, numbers)):
            numbers = [of if math.isfinite(of) else None for of in numbers]
        return json.dumps(numbers)

    def describe(self) -> dict[str, Any]:
        """Return what the model takes and gives, for JSON."""
        given, output = self.model.program.input, self.model.program.output
        return {
            "task": self.model.task,
            "digest": self.model.digest.hex(),
            "input": {
                "kind": given.kind,
                "features": given.form.features,
                "names": list(given.names),
                "missing": given.missing,
                "texts": self.text,
                "sequence": self.expected,
            },
            "output": {
                "kind": output.kind,
                "features": self.features,
                "labels": list(output.labels),
                "of": "step" if self.at_each_step else "sequence",
            },
            "streams": self.model.streams,
            "step": self.step.model_json_schema(),
        }


def side_by_side(lengths: Sequence[int]) -> list[list[int]]:
    """Return the places of sequences in groups of like lengths, so that little is padded.

    >>> side_by_side([2, 60_000, 1])
    [[2, 0], [1]]
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if groups and (len(groups[-1]) + 1) * lengths[place] <= MOST_PADDED:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _read(adapter: TypeAdapter[Any], data: str | bytes, wanted: str) -> Any:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = [part for at, part in enumerate(first["loc"]) if not at or isinstance(part, int)]
        where = ".".join(map(str, place))
        raise DataError(
            f"{where or 'the message'}: {first['msg'][:300]}. Expected: {wanted}"
        ) from error
