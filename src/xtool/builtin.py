"""What the core contributes itself, through the same hooks as any plugin: data sets and commands."""

from __future__ import annotations

from collections.abc import Iterable

from xtool.contracts.hookspecs import hookimpl
from xtool.contracts.specs import CommandSpec
from xtool.datasets import xtool_datasets

__all__ = ["COMMANDS", "xtool_commands", "xtool_datasets"]

COMMANDS = tuple(
    CommandSpec(name=name, command=f"xtool.cli.{command}", summary=summary)
    for name, command, summary in (
        ("compare", "compare:compare_command", "Compare saliency methods on a data set."),
        ("explain", "explain:explain_command", "Show where a model sees a text in an image."),
        ("report", "report:report_command", "Show finished runs, with shards merged; write a page or figure."),
        (
            "calibrate",
            "calibrate:calibrate_command",
            "Find how much evidence makes a text present, from finished runs.",
        ),
        ("features", "features:features_command", "Show the feature maps of an image, or list feature extractors."),
        ("methods", "listing:methods_command", "List saliency methods, or show one with its options."),
        ("encoders", "listing:encoders_command", "List encoders, or show one."),
        ("datasets", "listing:datasets_command", "List data sets, or show one."),
        ("plugins", "plugins:plugins_command", "List plugins with version, status and errors; check them."),
        ("new-plugin", "new_plugin:new_plugin_command", "Start a plugin of your own."),
    )
)
"""In the order in which ``xtool --help`` lists them."""


@hookimpl
def xtool_commands() -> Iterable[CommandSpec]:
    """The core's commands, so that a plugin's command of the same name is seen as a conflict."""
    return COMMANDS
