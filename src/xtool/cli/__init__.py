"""The command line: thin commands that parse, call the public API and print.

Each command, the core's or a plugin's, is a :class:`xtool.plugin.CommandSpec` whose module is imported when the
command runs, so that ``xtool --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from xtool.builtin import COMMANDS
from xtool.cli.terminal import printable
from xtool.contracts.registry import BUILT_IN, DISABLE_VARIABLE, registry, resolve
from xtool.contracts.specs import CommandSpec
from xtool.errors import SetupError, UsageError, XtoolError

CORE = {spec.name: spec for spec in COMMANDS}


class LazyGroup(click.Group):
    """Imports a command's module when the command is called, and reports errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_offered())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        try:
            # The core's own commands first: they run without a look at any plugin, and no plugin can take their names.
            spec = CORE.get(cmd_name) or registry().commands.find(cmd_name).spec
        except UsageError as error:
            if ctx.resilient_parsing:  # a shell asks for completions
                return None
            ctx.fail(str(error))
        command = resolve(spec.command)
        if not isinstance(command, click.Command):
            raise SetupError(f"the command {cmd_name} is broken: {spec.command} is not a click command but {command!r}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, spec.summary) for name, spec in _offered().items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command. What went wrong is said in words, on standard error, whatever it was and wherever."""
        os.environ["MPLBACKEND"] = "agg"  # figures become files; a notebook's backend may not even be installed here
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a terminal without the letters of a text shows question marks
                stream.reconfigure(errors="replace")
        try:
            return super().main(*args, **extra)
        except XtoolError as error:
            _leave(str(error), error.exit_code)
        except (OSError, MemoryError, RecursionError, UnicodeError, ImportError) as error:
            _leave(_in_words(error), 1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable(error.message)  # type: ignore[misc]  # declared final, and shown as it is
            raise


def _leave(message: str, code: int) -> NoReturn:
    with suppress(OSError):
        click.echo(f"Error: {printable(message)}", err=True)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        # It is full or closed. What is left in its buffer would be tried again at the very end, and end in a traceback.
        with suppress(OSError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _in_words(error: OSError | MemoryError | RecursionError | UnicodeError | ImportError) -> str:
    """For what nobody told better."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "not enough memory; take a smaller picture or model, or fewer at once"
    if isinstance(error, RecursionError):
        return "something is nested too deeply to be read"
    if isinstance(error, ImportError):
        return f"a library cannot be loaded ({error}); is it installed whole, and is there memory for it?"
    return f"a text or a file's name cannot be read or written: {error}"


def _offered() -> dict[str, CommandSpec]:
    """Every command by the name that reaches it: the core's in their order, then those of plugins."""
    catalogue = registry().commands
    rivals = catalogue.conflicts()
    brought = [item for item in catalogue if item.owner != BUILT_IN]
    named = {item.qualified_name if item.spec.name in rivals else item.spec.name: item.spec for item in brought}
    return CORE | named


def _block(_context: click.Context, _parameter: click.Parameter, names: tuple[str, ...]) -> None:
    if names:
        before = os.environ.get(DISABLE_VARIABLE, "")
        os.environ[DISABLE_VARIABLE] = ",".join([*filter(None, [before]), *names])
        registry.cache_clear()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--no-plugin", "blocked", multiple=True, metavar="NAME", help="Do not load this plugin; repeatable.",
    is_eager=True, expose_value=False, callback=_block,  # before any command is looked up
)  # fmt: skip
@click.version_option(package_name="xtool-saliency", prog_name="xtool")
def main() -> None:
    """Show, measure and compare where image-text models look."""
