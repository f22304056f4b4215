"""The one training loop."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Generic

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from gated.errors import ConfigurationError, DataError, TrainingDivergedError
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
from gated.training.optimizer import adamw, clip_gradients, learning_rate, set_learning_rate
from gated.training.options import TrainingOptions
from gated.training.processes import is_main_process, launch
from gated.training.progress import Progress
from gated.training.task import Batch, Shard, Task
from gated.training.transfer import load_matching, trained_groups


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
    weights as if it had never stopped.

    Raises:
        ConfigurationError: Options that cannot be meant, or that are not those of the checkpoint.
        DataError: A batch holds nothing to learn from.
        ModelFileError: `init_from` or the checkpoint is damaged or foreign.
        TrainingDivergedError: Loss, gradient or weights became NaN or infinite.
    """
    if resume and directory is None:
        raise ConfigurationError("resume: say in which directory the checkpoint is.")
    path = directory / FILE_NAME if directory else None
    if path and path.exists() and not resume and is_main_process():
        raise ConfigurationError(
            f"{path} is the checkpoint of an earlier training. Resume it, or train into a new "
            "directory."
        )
    with torch.random.fork_rng(devices=[]):
        run = _Run(task, options, launch(options), path, progress)
        run.start(resume=resume)
        while not run.history.stopped:
            run.step()
            run.validate()
            run.keep()
        run.finish()
    return run.history


class _Run(Generic[Batch]):
    """A training between two steps; all that changes in time is what a checkpoint holds."""

    def __init__(
        self,
        task: Task[Batch],
        options: TrainingOptions,
        fabric: Fabric,
        path: Path | None,
        progress: Progress | None,
    ) -> None:
        self.task, self.options, self.fabric = task, options, fabric
        self.path, self.progress = path, progress if fabric.is_global_zero else None
        if options.batch_size < fabric.world_size * options.accumulate:
            raise ConfigurationError(
                f"batch_size={options.batch_size} cannot be cut into {fabric.world_size} "
                f"process(es) times accumulate={options.accumulate} parts of one sequence or more."
            )
        self.history = History()
        self.best: Tensors = {}
        self.groups = trained_groups(task, options)
        trained = {parameter for group in self.groups for parameter in group.parameters}
        self.required_gradients = {
            parameter: parameter.requires_grad for parameter in task.network.parameters()
        }
        for parameter in task.network.parameters():
            parameter.requires_grad_(parameter in trained)
        self.network, self.optimizer = fabric.setup(task.network, adamw(self.groups, options))
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)

    def start(self, *, resume: bool) -> None:
        """Begin, or go on from the checkpoint."""
        if resume and self.path and self.path.exists():
            checkpoint = read_checkpoint(self.path)
            check_identity(self.path, checkpoint.identity, identity(self.task, self.options))
            self.restore(checkpoint)
        elif self.options.init_from:
            self.history.transfer = load_matching(self.task.network, self.options.init_from)
        self.network.train()

    def step(self) -> None:
        """Do one optimiser step."""
        started = time.perf_counter()
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
        # The gradients are of the sum of losses, and averaged over processes.
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, self.fabric.world_size / weight)
        clipping = clip_gradients(parameters, options.clip_norm, options.clip_value)
        loss, norm = loss_sum / weight, float(clipping.norm)
        if math.isfinite(loss) and not math.isfinite(norm) and self.scaler_can_fall():
            norm = math.inf  # half precision overflowed: the scaler skips this step
        elif not (math.isfinite(loss) and math.isfinite(norm)):
            raise self.diverged(f"the loss is {loss:g} and the gradient norm {norm:g}", step + 1)
        rate = learning_rate(step, options)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad()

        history = self.history
        history.loss.append(loss)
        history.gradient_norm.append(norm)
        history.clipped_by_norm.append(bool(clipping.by_norm))
        history.clipped_by_value.append(bool(clipping.by_value))
        history.learning_rate.append(rate)
        history.seconds.append(time.perf_counter() - started)
        if history.steps == options.steps:
            history.stopped = "steps"
        if self.progress:
            self.progress.step(
                step=history.steps,
                steps=options.steps,
                loss=loss,
                gradient_norm=norm,
                clipped=history.clipped_by_norm[-1] or history.clipped_by_value[-1],
                learning_rate=rate,
            )

    def thaw(self, step: int) -> None:
        """Let the depth groups of `step` train."""
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
        """Leave the gradients of the global batch; return its summed loss and weight."""
        fabric, parts = self.fabric, self.options.accumulate
        sums = []
        for part in range(parts):
            self.seed(step, part, fabric.global_rank)
            shard = Shard(part * fabric.world_size + fabric.global_rank, parts * fabric.world_size)
            batch = self.task.training_batch(step, self.options.batch_size, shard)
            batch = fabric.to_device(batch)
            with fabric.no_backward_sync(self.network, enabled=part < parts - 1):
                total, weight = self.task.loss(self.network, batch)
                fabric.backward(total)
            sums.append(torch.stack((total.detach(), weight.to(total))))
        loss_sum, weight = torch.stack(sums).sum(0)
        loss_sum, weight = fabric.all_reduce((loss_sum, weight), reduce_op="sum")
        return loss_sum.item(), weight.item()

    def validate(self) -> None:
        """Score the network where a validation is due, and keep the best weights."""
        history, options = self.history, self.options
        if history.steps % options.validate_every and not history.stopped:
            return
        self.network.eval()
        self.seed(history.steps)
        with torch.no_grad():
            # Each process validates, so that none waits in vain; the main one decides.
            scores = self.fabric.broadcast(self.task.validate(self.network))
        self.network.train()
        if not scores:
            return
        if not math.isfinite(scores["loss"]):
            raise self.diverged(f"the validation loss is {scores['loss']:g}", history.steps)
        validation = Validation(history.steps, scores)
        history.validations.append(validation)
        best = history.best is validation
        if best:
            state = self.task.network.state_dict()
            self.best = {name: tensor.clone() for name, tensor in state.items()}
        elif history.since_best == options.patience and not history.stopped:
            history.stopped = "patience"
        if self.progress:
            self.progress.validation(step=history.steps, scores=scores, best=best)

    def keep(self) -> None:
        """Write a checkpoint where one is due."""
        due = self.history.stopped or self.history.steps % self.options.checkpoint_every == 0
        if not (due and self.path and self.fabric.is_global_zero):
            return
        state = self.state()
        for tensor in (*self.task.network.parameters(), *state.optimizer.values()):
            if not tensor.isfinite().all():
                raise self.diverged("a weight is NaN or infinite", self.history.steps)
        write_checkpoint(self.path, state)

    def finish(self) -> None:
        """Leave the best weights in the network, ready to be used."""
        if self.best:
            self.task.network.load_state_dict(self.best)
        for parameter, required in self.required_gradients.items():
            parameter.requires_grad_(required)
        self.network.eval()

    def state(self) -> Checkpoint:
        """Return all that a checkpoint holds."""
        network = self.task.network
        return Checkpoint(
            identity=identity(self.task, self.options),
            network=network.state_dict(),
            optimizer=optimizer_tensors(self.optimizer, network),
            best=self.best,
            history=self.history,
            scaler=self.scaler.state_dict() if self.scaler else {},
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over the state of `checkpoint`."""
        network = self.task.network
        network.load_state_dict(checkpoint.network)
        restore_optimizer(self.optimizer, network, checkpoint.optimizer)
        self.best = {
            name: tensor.to(self.fabric.device) for name, tensor in checkpoint.best.items()
        }
        self.history = checkpoint.history
        if self.scaler:
            self.scaler.load_state_dict(checkpoint.scaler)

    def seed(self, *numbers: int) -> None:
        """Make dropout a function of `numbers`, so that going on needs no generator's state."""
        mixed = np.random.SeedSequence((self.options.seed, *numbers)).generate_state(1, np.uint64)
        seed, device = int(mixed[0]), self.fabric.device
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes half a millisecond
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)

    def scaler_can_fall(self) -> bool:
        """Whether an overflow may come from the scale that half precision multiplies with."""
        return self.scaler is not None and self.scaler.get_scale() > 1

    def diverged(self, what: str, step: int) -> TrainingDivergedError:
        """Say what happened, when, and what is left."""
        if self.path and self.path.exists():
            left = f"The checkpoint before it is kept: {self.path}."
        else:
            left = "No checkpoint had been written yet."
        return TrainingDivergedError(
            f"Training diverged at step {step} of {self.options.steps}: {what}. {left} "
            "Lower learning_rate or clip_norm, or look for extreme values in the data."
        )
