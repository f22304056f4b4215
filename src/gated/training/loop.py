"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Generic, cast

import numpy as np
import torch
from torch import Tensor, nn

from gated.errors import ConfigurationError, DataError, TrainingDivergedError
from gated.files import locked
from gated.model_files import damaged
from gated.phases import phase
from gated.training.budget import Budget
from gated.training.checkpoint import (
    FILE_NAME,
    Checkpoint,
    Tensors,
    check_identity,
    identity,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from gated.training.history import History, Validation
from gated.training.optimizer import (
    Clipping,
    adamw,
    clip_gradients,
    learning_rate,
    set_learning_rate,
)
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process, launch
from gated.training.progress import Progress
from gated.training.task import Batch, Carried, Shard, Task
from gated.training.transfer import load_matching, trained_groups

FINISH = "finish-asked"
"""File in the directory of a training that asks it to stop and to be scored as it is."""
MOST_BETWEEN_CHECKPOINTS = 60.0
"""Seconds of training after which a checkpoint is written, however few steps that are."""


@dataclass(frozen=True)
class Seconds:
    """A time, by the clock and of the processors."""

    wall: float = 0.0
    processor: float = 0.0

    @classmethod
    def now(cls) -> Seconds:
        """Return the time that it is."""
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, before: Seconds) -> Seconds:
        """Return the time since `before`."""
        return Seconds(self.wall - before.wall, self.processor - before.processor)


def train(
    task: Task[Batch],
    options: TrainingOptions,
    *,
    directory: Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> History:
    """Train `task.network` in place and return what happened.

    Afterwards the network holds the weights that were best on validation (the last ones where
    nothing is held out) and is in evaluation mode. With a `directory`, checkpoints are written
    there; with `resume`, the training goes on from the one that is there, if any, to the same
    weights as if it had never stopped. It ends when the budget is used up, or after the step in
    which a file `FINISH` comes into the directory; with `resume`, where it is there, at once.

    Raises:
        ConfigurationError: Invalid options, or other options than those of the checkpoint.
        DataError: A batch holds nothing to learn from.
        InUseError: Another process trains in `directory`.
        ModelFileError: `init_from` or the checkpoint is damaged or foreign.
        TrainingDivergedError: Loss, gradient or weights became NaN or infinite.
    """
    path = _checkpoint_path(directory, resume=resume)
    checkpoint = None
    if path and path.exists() and resume:
        checkpoint = read_checkpoint(path)
        check_identity(path, checkpoint.identity, identity(task, options))
    kept = locked(directory) if directory and is_main_process() else nullcontext()
    with kept, torch.random.fork_rng(devices=[]):
        training = _Training(task, options, path, checkpoint, progress)
        # Without `progress`, as when a baseline is trained, the steps are shown as a phase.
        steps = nullcontext(None) if progress else phase("Training", training.budget.steps)
        if checkpoint and not training.history.stopped and training.agreed(Seconds())[1]:
            training.end_early()
        with steps as done:
            while not training.history.stopped:
                training.step()
                training.validate()
                training.keep()
                if done:
                    done()
        training.finish()
    return training.history


def _checkpoint_path(directory: Path | None, *, resume: bool) -> Path | None:
    if directory is None:
        if resume:
            raise ConfigurationError("resume: say in which directory the checkpoint is.")
        return None
    path = directory / FILE_NAME
    if path.exists() and not resume and is_main_process():
        raise ConfigurationError(
            f"{path} is the checkpoint of an earlier training. Resume it, or train into a new "
            "directory."
        )
    return path


class _Training(Generic[Batch]):
    """A training between two steps; all that changes in time is what a checkpoint holds."""

    def __init__(
        self,
        task: Task[Batch],
        options: TrainingOptions,
        path: Path | None,
        checkpoint: Checkpoint | None,
        progress: Progress | None,
    ) -> None:
        self.task, self.options, self.path = task, options, path
        self.identity = identity(task, options)
        self.budget = Budget.of(options, task.steps_per_epoch(options.batch_size))
        self.history = History()
        self.best: Tensors = {}
        self.carried: list[Carried] = [{} for _ in range(options.accumulate)]
        self.groups = trained_groups(task, options, self.budget.steps)
        if options.init_from and not checkpoint:
            self.history.transfer = load_matching(task.network, options.init_from, task.anew)

        # Whatever the user can mend has been checked: from here on there may be more processes.
        self.fabric = fabric = launch(options)
        self.progress = progress if fabric.is_global_zero else None
        self.trainable = [p for p in task.network.parameters() if p.requires_grad]
        trained = {parameter for group in self.groups for parameter in group.parameters}
        for parameter in self.trainable:
            parameter.requires_grad_(parameter in trained)
        self.network, self.optimizer = fabric.setup(task.network, adamw(self.groups, options))
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)
        self.network.train()
        if fabric.world_size > 1:
            self.settle_sums()
        if checkpoint:
            try:
                self.restore(checkpoint)
            except Exception as error:  # whatever a file may hold that gated did not write
                raise damaged(path or Path(FILE_NAME), str(error)) from error
        self.history.measure, self.history.factor = task.unit
        self.spent = self.kept = self.history.spent
        """Seconds of training so far, and at the last checkpoint; the same in all processes."""

    def settle_sums(self) -> None:
        """Run one backward pass, from which DDP fixes the order in which it sums gradients.

        Otherwise the first step after resuming would round as the first step of a training does.
        """
        network = self.task.network
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.backward(step=0)
        self.optimizer.zero_grad()
        self.carried = [{} for _ in self.carried]
        network.load_state_dict(before)

    def step(self) -> None:
        """Do one optimiser step."""
        started = Seconds.now()
        options, step = self.options, self.history.steps
        self.thaw(step)
        loss_sum, weight = self.backward(step)
        if weight == 0:
            raise DataError(
                f"The batch of step {step + 1} holds no target, so there is nothing to learn from."
            )
        parameters = self.parameters_with_gradient(step)
        if self.scaler:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
        # The gradients are of the sum over batch_size, and averaged over processes.
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, options.batch_size * self.fabric.world_size / weight)
        clipping = clip_gradients(parameters, options.clip_norm, options.clip_value)
        loss, norm = loss_sum / weight, float(clipping.norm)
        if math.isfinite(loss) and not math.isfinite(norm) and self.scaler_can_fall():
            norm = math.inf  # half precision overflowed: the scaler skips this step
        elif not (math.isfinite(loss) and math.isfinite(norm)):
            raise self.diverged(f"the loss is {loss:g} and the gradient norm {norm:g}", step + 1)
        rate = learning_rate(*self.budget.place(step, self.used), options)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average(parameters)
        self.record(loss, norm, clipping, rate, *self.agreed(Seconds.now() - started))

    def agreed(self, seconds: Seconds) -> tuple[Seconds, bool]:
        """Return the main process' values: how long a step took, and whether to finish."""
        main, path = self.fabric.is_global_zero, self.path
        finish = main and path is not None and (path.parent / FINISH).exists()
        if self.fabric.world_size == 1:
            return seconds, finish
        said = torch.tensor([*astuple(seconds), float(finish)]) * float(main)
        agreed = cast(Tensor, self.fabric.all_reduce(said, reduce_op="sum")).tolist()
        return Seconds(*agreed[:2]), bool(agreed[2])

    def spend(self, seconds: Seconds) -> None:
        """Count the time of a step or a validation."""
        self.spent += seconds.wall
        self.history.processor_seconds += seconds.processor

    @property
    def used(self) -> float:
        """Seconds so far, by the clock of the budget."""
        return self.history.processor_seconds if self.budget.of_processors else self.spent

    def record(
        self,
        loss: float,
        norm: float,
        clipping: Clipping,
        rate: float,
        seconds: Seconds,
        finish: bool,
    ) -> None:
        """Append a step to the history, and report it."""
        history = self.history
        by_norm, by_value = bool(clipping.by_norm), bool(clipping.by_value)
        history.loss.append(loss)
        history.gradient_norm.append(norm)
        history.clipped_by_norm.append(by_norm)
        history.clipped_by_value.append(by_value)
        history.learning_rate.append(rate)
        history.seconds.append(seconds.wall)
        self.spend(seconds)
        history.stopped = self.budget.ended_by(history.steps, self.used)
        if finish and not history.stopped:
            history.stopped = "finish"
        if self.progress:
            self.progress.step(
                step=history.steps,
                share=self.budget.share(history.steps, self.used),
                loss=history.factor * loss,
                unit=history.measure,
                gradient_norm=norm,
                clipped=by_norm or by_value,
                learning_rate=rate,
            )

    @torch.no_grad()
    def average(self, parameters: list[nn.Parameter]) -> None:
        """Move the averages of the weights, which the optimiser's state holds, towards the weights.

        At first they follow fast, so that the initial weights are soon forgotten.
        """
        if self.options.average is None:
            return
        state, step = self.optimizer.state, self.history.steps
        averages = [state[of].setdefault("average", of.detach().clone()) for of in parameters]
        decay = min(self.options.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(averages, [of.detach() for of in parameters], 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the network have the averages of its weights, where there are any."""
        averages = self.averages
        kept = {parameter: parameter.detach().clone() for parameter in averages}
        try:
            _set_values(averages)
            yield
        finally:
            _set_values(kept)

    @property
    def averages(self) -> dict[nn.Parameter, Tensor]:
        """The average of each parameter that has one."""
        state = self.optimizer.state
        return {parameter: of["average"] for parameter, of in state.items() if "average" in of}

    def thaw(self, step: int) -> None:
        """Unfreeze the depth groups that train at `step`, and freeze the others."""
        if self.fabric.world_size > 1:
            return  # DDP waits for a gradient of every parameter that it was given
        for group in self.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.first_step <= step)

    def parameters_with_gradient(self, step: int) -> list[nn.Parameter]:
        """Return the parameters that train at `step`, and drop the gradients of the others."""
        for group in self.groups:
            if group.first_step > step:
                for parameter in group.parameters:
                    parameter.grad = None
        return [
            parameter
            for group in self.groups
            for parameter in group.parameters
            if parameter.grad is not None
        ]

    def backward(self, step: int) -> tuple[float, float]:
        """Compute the gradients of the global batch; return its summed loss and weight."""
        fabric, parts = self.fabric, self.options.accumulate
        sums = []
        for part in range(parts):
            self.seed(step, part, fabric.global_rank)
            shard = Shard(part * fabric.world_size + fabric.global_rank, parts * fabric.world_size)
            batch = self.task.training_batch(step, self.options.batch_size, shard)
            batch = fabric.to_device(batch)
            with fabric.no_backward_sync(self.network, enabled=part < parts - 1):
                (total, weight), states = self.task.loss_from(
                    self.network, batch, self.carried[part]
                )
                fabric.backward(total / self.options.batch_size)  # half precision has little room
            self.carried[part] = {name: state.detach() for name, state in states.items()}
            sums.append(torch.stack((total.detach(), weight.to(total))))
        loss_sum, weight = torch.stack(sums).sum(0)
        loss_sum, weight = fabric.all_reduce((loss_sum, weight), reduce_op="sum")
        return loss_sum.item(), weight.item()

    def end_early(self) -> None:
        """End without another step; validate the checkpoint's weights if that was not done."""
        history = self.history
        history.stopped = "finish"
        if not history.validations or history.validations[-1].step < history.steps:
            self.validate()
        self.keep()

    def validate(self) -> None:
        """Score the network where a validation is due, and keep the best weights."""
        history, options = self.history, self.options
        if history.steps % options.validate_every and not history.stopped:
            return
        started = Seconds.now()
        self.network.eval()
        self.seed(history.steps)
        with torch.no_grad(), phase("Validating"), self.averaged():
            # Each process validates, so that none waits in vain; the main one decides.
            scores = self.task.validate(self.network)
            seconds = Seconds.now() - started
            scores, seconds = self.fabric.broadcast((scores, seconds))
        self.spend(seconds)
        scores = {name: float(score) for name, score in scores.items()}
        self.network.train()
        if not scores:
            return
        if not math.isfinite(scores["loss"]):
            raise self.diverged(f"the validation loss is {scores['loss']:g}", history.steps)
        validation = Validation(history.steps, scores, seconds.wall)
        history.validations.append(validation)
        best = history.best is validation
        if best:
            with self.averaged():
                state = self.task.network.state_dict()
                self.best = {name: tensor.clone() for name, tensor in state.items()}
        elif history.since_best == options.patience and not history.stopped:
            history.stopped = "patience"
        if options.goal is not None and scores["loss"] < options.goal and not history.stopped:
            history.stopped = "goal"
        if self.progress:
            self.progress.validation(step=history.steps, scores=scores, best=best)

    def keep(self) -> None:
        """Write a checkpoint where one is due."""
        due = (
            self.history.stopped
            or self.history.steps % self.options.checkpoint_every == 0
            or self.spent - self.kept > MOST_BETWEEN_CHECKPOINTS
        )
        if not (due and self.path):
            return
        self.kept = self.spent
        state = self.state()
        if not self.fabric.is_global_zero:
            return
        for tensor in (*self.task.network.parameters(), *state.optimizer.values()):
            if not tensor.isfinite().all():
                raise self.diverged("a weight is NaN or infinite", self.history.steps)
        write_checkpoint(self.path, state)

    def finish(self) -> None:
        """Load the best weights into the network, and set evaluation mode."""
        if self.best:
            self.task.network.load_state_dict(self.best)
        else:
            _set_values(self.averages)
        for parameter in self.trainable:
            parameter.requires_grad_(True)
        self.network.eval()

    def state(self) -> Checkpoint:
        """Return all that a checkpoint holds."""
        network = self.task.network
        return Checkpoint(
            identity=self.identity,
            network=network.state_dict(),
            optimizer=optimizer_tensors(self.optimizer, network),
            best=self.best,
            carried=self.gathered(),
            history=self.history,
            scaler=self.scaler.state_dict() if self.scaler else {},
        )

    def gathered(self) -> Tensors:
        """Return the carried states of all processes, `(processes, …)`, as `PART/NAME`."""
        states = {
            f"{part}/{name}": state
            for part, carried in enumerate(self.carried)
            for name, state in carried.items()
        }
        if self.fabric.world_size == 1:
            return {name: state[None] for name, state in states.items()}
        return {name: cast(Tensor, self.fabric.all_gather(state)) for name, state in states.items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of `checkpoint`."""
        network = self.task.network
        network.load_state_dict(checkpoint.network)
        restore_optimizer(self.optimizer, network, checkpoint.optimizer)
        self.best = {
            name: tensor.to(self.fabric.device) for name, tensor in checkpoint.best.items()
        }
        for key, state in checkpoint.carried.items():
            part, _, name = key.partition("/")
            own = state[self.fabric.global_rank].to(self.fabric.device)
            self.carried[int(part)] = {**self.carried[int(part)], name: own}
        self.history = checkpoint.history
        if self.scaler:
            self.scaler.load_state_dict(checkpoint.scaler)

    def seed(self, *numbers: int) -> None:
        """Seed dropout from `numbers`, so that resuming needs no generator's state."""
        mixed = np.random.SeedSequence((self.options.seed, *numbers)).generate_state(1, np.uint64)
        seed, device = int(mixed[0]), self.fabric.device
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes half a millisecond
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)

    def scaler_can_fall(self) -> bool:
        """Whether an overflow may come from the loss scale of half precision, which then falls."""
        return self.scaler is not None and self.scaler.get_scale() > 1

    def diverged(self, what: str, step: int) -> TrainingDivergedError:
        """Return the error that says what happened at which step, and which checkpoint is left."""
        if self.path and self.path.exists():
            left = f"The checkpoint before it is kept: {self.path}."
        else:
            left = "No checkpoint had been written yet."
        of = f" of {self.budget.steps}" if self.budget.steps else ""
        return TrainingDivergedError(
            f"Training diverged at step {step}{of}: {what}. {left} "
            "Lower learning_rate or clip_norm, or look for extreme values in the data."
        )


@torch.no_grad()
def _set_values(values: Mapping[nn.Parameter, Tensor]) -> None:
    """Copy a value into each parameter."""
    for parameter, value in values.items():
        parameter.copy_(value)
