"""Commands, options and how errors are shown.

Options are the fields of the configuration dataclasses, so that the command, a TOML file and
Python say the same things with the same words.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.config import Toml
from rich.console import Console

import gated
from gated.cli.summaries import help_of, purpose_of
from gated.errors import ConfigurationError, GatedError
from gated.tasks import LEARNERS

USAGE_ERROR = 2
INTERRUPTED = 130

options = Parameter(consume_multiple=True, negative_iterable=(), negative_bool=())

app = App(
    name="gated",
    help="Recurrent networks: from data to a trained, measured, explained model.",
    version=gated.__version__,
    default_parameter=options,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` tells what to do then
)
fit = App(name="fit", help="Train a network for a task and measure it.")
compare = App(name="compare", help="Train RNN, GRU and LSTM with one budget and compare them.")
app.command(fit)
app.command(compare)

COMMANDS = {
    "resume": "gated.cli.fit:resume",
    "finish": "gated.cli.fit:finish",
    "predict": "gated.cli.runs:predict",
    "evaluate": "gated.cli.runs:evaluate",
    "explain": "gated.cli.runs:explain",
    "backtest": "gated.cli.forecast:backtest",
    "translate": "gated.cli.translate:translate",
    "transcribe": "gated.cli.speech:transcribe",
    "generate": "gated.cli.language:generate",
    "memory-test": "gated.cli.memory:find_longest",
    "explore": "gated.cli.explore:explore",
}
# Imported when called, so that `gated --help` does not wait for torch.
for name, where in COMMANDS.items():
    app.command(where, name=name, help=help_of(where))
for task, where in LEARNERS.items():
    does, name = purpose_of(where), task.replace("_", "-")
    told = f"Train a network to {does}, and score it on data held back."
    fit.command(f"gated.cli.fit:{task}", name=name, help=told)
    told = f"Train each kind of recurrent cell to {does}, with one budget, and compare them."
    compare.command(f"gated.cli.compare:{task}", name=name, help=told)

app.meta.suppress_keyboard_interrupt = False
app.meta.group_parameters = Group("Everywhere")


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
) -> object:
    """Run a command.

    Parameters
    ----------
    config
        A TOML file of options, by their long names. What the command line says goes first.
    """
    app.config = ()
    if config is not None:
        if not config.is_file():
            raise ConfigurationError(f"--config: there is no file {config}.")
        app.config = Toml(config, must_exist=True, use_commands_as_keys=False, allow_unknown=False)
    return app(tokens, exit_on_error=False, print_error=False)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (by default this process's) and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app.meta(list(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (GatedError, CycloptsError, FileNotFoundError) as error:
        return complain(error, as_json="--json" in arguments)
    except BrokenPipeError:  # whoever read our output, `head` say, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as interruption:
        told = str(interruption) or "Interrupted."
        Console(stderr=True, soft_wrap=True).print(told, markup=False, highlight=False)
        return INTERRUPTED
    return 0


def complain(error: Exception, *, as_json: bool) -> int:
    """Print `error` as a paragraph, or as JSON, and return the exit status."""
    from gated.training.processes import is_main_process

    if not is_main_process():
        return 0  # the main process met the same error and says so
    if as_json:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    else:
        console = Console(stderr=True, soft_wrap=not sys.stderr.isatty())
        console.print("[bold red]error:[/]", end=" ")
        console.print(str(error), markup=False, highlight=False)
    return USAGE_ERROR
