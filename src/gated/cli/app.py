"""Commands, options and how errors are shown.

Options are the fields of the configuration dataclasses, so that the command, a TOML file and
Python say the same things with the same words.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Group, Parameter
from cyclopts.config import Toml
from rich.console import Console

from gated.cli.commands import COMMANDS, GROUPS, description, task_description
from gated.cli.failures import SHOW_TRACEBACK, USAGE_ERROR, NothingPredictedError, explained
from gated.errors import ConfigurationError, options_as_typed
from gated.tasks import LEARNERS
from gated.version import VERSION

INTERRUPTED = 130
NEGATIVES = {"--no-day-first": "--day-first=false"}
"""Of options that are left to the data where they are not given: all others are off then."""

options = Parameter(consume_multiple=True, negative_iterable=(), negative_bool=())

app = App(
    name="gated",
    help="Recurrent networks: from data to a trained, measured, explained model.",
    version=VERSION,
    default_parameter=options,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # `run` says what to do then
)
# Imported when called, so that `gated --help` does not wait for torch.
for name in GROUPS:
    group = App(name=name, help=description(name))
    app.command(group)
    for task in LEARNERS:
        text = task_description(name, task)
        group.command(f"gated.cli.{name}:{task}", name=task.replace("_", "-"), help=text)
for name, target in COMMANDS.items():
    app.command(f"gated.cli.{target}", name=name, help=description(name))

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
        A TOML file of options, by their long names. The command line overrides it.
    """
    app.config = ()
    if config is not None:
        if not config.is_file():
            raise ConfigurationError(f"--config: there is no file {config}.")
        try:
            tomllib.loads(config.read_text("utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"--config: {config} is not TOML: {error}.") from error
        app.config = Toml(config, must_exist=True, use_commands_as_keys=False, allow_unknown=False)
    tokens = tuple(NEGATIVES.get(token, token) for token in tokens)
    return app(tokens, exit_on_error=False, print_error=False)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (by default this process's) and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with options_as_typed():
            app.meta(list(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output, `head` say, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except SystemExit:
        raise
    except KeyboardInterrupt as interrupt:
        notes = getattr(interrupt, "__notes__", ())
        console = Console(stderr=True, soft_wrap=True)  # so that a command can be copied
        console.print("Interrupted.", *notes, markup=False, highlight=False)
        return INTERRUPTED
    except BaseException as error:  # also panics of libraries in other languages
        if os.environ.get(SHOW_TRACEBACK) == "1":
            raise
        return complain(error, as_json="--json" in arguments)
    return 0


def complain(error: BaseException, *, as_json: bool) -> int:
    """Print `error` as a paragraph, or as JSON, and return the exit status."""
    from gated.training.processes import is_main_process

    as_json = as_json and not isinstance(error, NothingPredictedError)  # one document is enough
    message, status = explained(error)
    if not is_main_process() and status == USAGE_ERROR:
        return 0  # the main process met the same error and says so
    try:
        if as_json:
            print(json.dumps({"error": type(error).__name__, "message": message}))
        sys.stdout.flush()
    except OSError:  # the output itself is what failed
        as_json = False
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not as_json:
        console = Console(stderr=True, soft_wrap=not sys.stderr.isatty())
        console.print("[bold red]error:[/]", end=" ")
        console.print(message, markup=False, highlight=False)
    return status
