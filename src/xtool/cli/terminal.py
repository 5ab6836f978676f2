"""What goes to a terminal: anybody's text is shown and never obeyed, and JSON is alone on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["console", "json_option", "print_json", "printable", "say"]

F = TypeVar("F", bound=Callable[..., Any])

# Control characters, and those that change the direction of what follows: a name could overwrite what was printed
# before it, or read backwards. Newlines and tabs are harmless; joiners belong to scripts.
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
STDOUT = "xtool.cli.terminal.stdout"


def printable(text: str) -> str:
    """The text with each character that a terminal would obey written out: ``\\\\x1b``, ``\\\\u202e``."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def say(text: str) -> None:
    """Print a message for people, on standard error."""
    click.echo(printable(text), err=True)


def console(*, stderr: bool = False) -> Console:
    """A Rich console on which square brackets and control characters of names and texts are just shown."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:  # before it is measured, so that nothing is cut
            return super().render_str(printable(text), **options)

        def render(self, *given: Any, **options: Any) -> Iterable[Segment]:
            for segment in super().render(*given, **options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    width = 80 if os.environ.get("COLUMNS") == "0" else None
    return Plain(stderr=stderr, markup=False, emoji=False, width=width)


def json_option(command: F) -> F:
    """Whether JSON is printed, given to ``command`` as ``as_json``: with :func:`print_json`, and nothing else.

    Whatever plugins print meanwhile goes to standard error.
    """
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_keep_stdout,
        help="Print JSON on standard output, and nothing else.",
    )(command)


def print_json(found: Any) -> None:
    """Print one line of JSON on the standard output that :func:`json_option` keeps free."""
    stream = click.get_current_context().meta.get(STDOUT, sys.stdout)
    ascii_only = not (getattr(stream, "encoding", None) or "").lower().startswith("utf")
    click.echo(json.dumps(found, ensure_ascii=ascii_only, allow_nan=False), file=stream)


def _keep_stdout(context: click.Context, _parameter: click.Parameter, as_json: bool) -> bool:
    if as_json:
        context.meta[STDOUT] = sys.stdout
        context.with_resource(contextlib.redirect_stdout(sys.stderr))
    return as_json
