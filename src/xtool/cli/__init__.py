"""The command line: thin commands that parse, call the public API and print.

Each command lives in a module of its own that is imported when the command runs, so that ``xtool --help`` answers
at once.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import click

from xtool.errors import XtoolError

COMMANDS: dict[str, str] = {
    "compare": "Compare saliency methods on a data set.",
    "explain": "Show where a model sees a text in an image.",
    "app": "Open the page: your pictures and texts in a browser.",
    "report": "Show finished runs, with shards merged; write a page or figure.",
    "reproduce": "Measure the VL-Score article's tables again, next to what was published.",
    "features": "Show the feature maps of an image, or list feature extractors.",
    "methods": "List saliency methods, or show one with its options.",
    "encoders": "List encoders, or show one.",
    "datasets": "List data sets, or show one.",
    "plugins": "List plugins with version, status and errors; check them.",
    "new-plugin": "Start a plugin of your own.",
}
MODULES = {"methods": "listing", "encoders": "listing", "datasets": "listing", "new-plugin": "new_plugin"}


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for, and tells errors without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"xtool.cli.{MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except XtoolError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--no-plugin", "blocked", multiple=True, metavar="NAME", help="Do not load this plugin; repeatable.")
@click.version_option(package_name="xtool-saliency", prog_name="xtool")
def main(blocked: tuple[str, ...]) -> None:
    """Show, measure and compare where image-text models look."""
    if blocked:
        from xtool.contracts.registry import DISABLE_VARIABLE, registry

        before = os.environ.get(DISABLE_VARIABLE, "")
        os.environ[DISABLE_VARIABLE] = ",".join([*filter(None, [before]), *blocked])
        registry.cache_clear()
