"""What happened during a training: the numbers that learning curves are drawn from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from gated.configuration import from_json_values, json_values

COLUMNS = (
    "loss",
    "gradient_norm",
    "clipped_by_norm",
    "clipped_by_value",
    "learning_rate",
    "seconds",
)


ENDS = {
    "": "not ended yet",
    "steps": "all steps done",
    "epochs": "all epochs done",
    "minutes": "the time was up",
    "time": "the processor time was used up",
    "patience": "validation got no better",
    "goal": "the goal was reached",
    "finish": "ended early by `gated finish`",
}
"""Why a training ended, in words."""


@dataclass(frozen=True)
class Validation:
    """Scores on held-out data after `step` steps."""

    step: int
    scores: dict[str, float]
    seconds: float = field(default=0.0, compare=False)
    """The time that the validation took."""

    @property
    def loss(self) -> float:
        """The score that chooses the weights."""
        return self.scores["loss"]


@dataclass(frozen=True)
class Transfer:
    """Which weights came from another run."""

    source: str
    """The run's directory."""
    loaded: tuple[str, ...]
    """Names taken over."""
    other_shape: tuple[str, ...]
    """Names in both, with different shapes: newly initialised."""
    absent: tuple[str, ...]
    """Names that the other run does not have, or with another meaning: newly initialised."""
    unused: tuple[str, ...]
    """Names that only the other run has."""


@dataclass
class History:
    """A column per step, the validations, and why the training stopped."""

    loss: list[float] = field(default_factory=list)
    """Mean loss of the global batch."""
    gradient_norm: list[float] = field(default_factory=list)
    """Total norm before clipping; infinite where half precision overflowed and skipped a step."""
    clipped_by_norm: list[bool] = field(default_factory=list)
    """Whether clipping by norm changed the gradients."""
    clipped_by_value: list[bool] = field(default_factory=list)
    """Whether clipping by value changed any element."""
    learning_rate: list[float] = field(default_factory=list)
    """Of the topmost depth group."""
    seconds: list[float] = field(default_factory=list)
    """Wall-clock time, without validation and checkpoints."""
    processor_seconds: float = field(default=0.0, compare=False)
    """Processor time of all threads of the main process so far, with validations."""
    validations: list[Validation] = field(default_factory=list)
    stopped: Literal["", "steps", "epochs", "minutes", "time", "patience", "goal", "finish"] = ""
    """Why training ended: the budget, the patience, the goal or `gated finish`. Empty while it goes
    on."""
    transfer: Transfer | None = None
    measure: str = "loss"
    """The name of the training loss in reports, such as `CTC loss`."""
    factor: float = 1.0
    """What the loss is multiplied by to get this measure."""

    @property
    def score(self) -> str | None:
        """The validation score in the unit of the result: the first besides the loss; None without.

        >>> scores = {"loss": 0.2, "CTC loss": 1.5, "WER": 0.3}
        >>> History(validations=[Validation(5, scores)], measure="CTC loss").score
        'WER'
        """
        first = self.validations[0].scores if self.validations else ()
        return next((name for name in first if name not in ("loss", self.measure)), None)

    def validation_loss(self, validation: Validation) -> float:
        """Return a validation's loss in the same measure as the training loss."""
        return validation.scores.get(self.measure, self.factor * validation.loss)

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.loss)

    @property
    def ended(self) -> str:
        """Why training ended, in words."""
        return ENDS[self.stopped]

    @property
    def spent(self) -> float:
        """Seconds of training, with validations."""
        return sum(self.seconds) + sum(validation.seconds for validation in self.validations)

    @property
    def best(self) -> Validation | None:
        """The validation whose weights are the result; none if nothing was held out."""
        return min(self.validations, key=lambda validation: validation.loss, default=None)

    @property
    def since_best(self) -> int:
        """Validations since the best one."""
        losses = [validation.loss for validation in self.validations]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def to_json(self) -> str:
        """Return a JSON document, in which numbers that are not finite are null."""
        return json.dumps(json_values(self))

    @classmethod
    def from_json(cls, text: str) -> History:
        """Read what `to_json` wrote.

        Raises:
            ModelFileError: it is damaged.

        >>> history = History(loss=[0.5], gradient_norm=[2.0], validations=[Validation(1, {})])
        >>> History.from_json(history.to_json()) == history
        True
        """
        document = json.loads(text)
        columns = {
            name: [math.inf if number is None else number for number in document[name]]
            for name in COLUMNS
        }
        return cls.from_facts(document, columns)

    def facts(self) -> dict[str, Any]:
        """Everything but the columns, as JSON values."""
        names = [of.name for of in fields(self) if of.name not in COLUMNS]
        facts: dict[str, Any] = json_values({name: getattr(self, name) for name in names})
        return facts

    @classmethod
    def from_facts(cls, facts: dict[str, Any], columns: dict[str, list[Any]]) -> History:
        """Rebuild a history from `facts` and the columns.

        Raises:
            ModelFileError: it is damaged.
        """
        for validation in facts["validations"]:
            of = validation["scores"]
            of.update({name: math.nan for name, score in of.items() if score is None})
        return from_json_values(cls, facts | columns)
