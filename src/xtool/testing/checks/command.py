"""What every command promises."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.testing import CliRunner

from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import CommandSpec
from xtool.testing.checks.spec import cases, spec_cases
from xtool.testing.verdict import Case, require


def plan_command(name: str) -> list[Case]:
    """Every check of one command."""
    item = registry().commands.find(name)
    return [*spec_cases(item.owner, item.spec), *cases(CHECKS, item.spec)]


def is_a_click_command(spec: CommandSpec) -> None:
    """The import string leads to a click command."""
    found = resolve(spec.command)
    require(isinstance(found, click.Command), f"{spec.command} is {found!r}")


def says_what_it_does(spec: CommandSpec) -> None:
    """``--help`` answers, and says more than the options."""
    command = resolve(spec.command)
    result = CliRunner().invoke(command, ["--help"], prog_name=f"xtool {spec.name}")
    require(result.exit_code == 0, f"--help exits with {result.exit_code}: {result.output}")
    require(bool(command.help and command.help.strip()), "the command has no docstring")


def describes_its_options(spec: CommandSpec) -> None:
    """Every option has a help text."""
    silent = [option.opts[0] for option in _options(resolve(spec.command)) if not option.help]
    require(not silent, f"no help for {', '.join(silent)}")


def _options(command: click.Command) -> Iterable[click.Option]:
    return (parameter for parameter in command.params if isinstance(parameter, click.Option))


CHECKS = (is_a_click_command, says_what_it_does, describes_its_options)
