"""``xtool plugins``: what is installed, whether it works, and what is wrong; ``xtool plugins check`` makes sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from xtool.cli.terminal import console, json_option, print_json

if TYPE_CHECKING:
    from xtool.contracts.registry import Plugin, Registry

STYLES = {"ok": "green", "disabled": "yellow", "incompatible": "red", "error": "red"}


@click.group("plugins", invoke_without_command=True)
@json_option
@click.pass_context
def plugins_command(context: click.Context, *, as_json: bool) -> None:
    """List plugins with version, status, API version and hooks, and every conflict of names."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@plugins_command.command("check")
@click.argument("name", required=False)
@click.option("--only", multiple=True, metavar="SPEC", help="Only this method, encoder, … of the plugin; repeatable.")
@click.option("--data-dir", type=click.Path(exists=True), help="Where the data set is.")
@json_option
def check_command(*, name: str | None, only: tuple[str, ...], data_dir: str | None, as_json: bool) -> None:
    """Run the conformance checks on the plugin NAME, or on all; exit 1 when one fails."""
    from xtool.cli.plugin_check import check_plugins

    if not check_plugins(name, only, data_dir, as_json=as_json):
        raise SystemExit(1)


def _list(*, as_json: bool) -> None:
    from xtool.contracts.registry import registry

    found = registry()
    if as_json:
        plugins = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "status": plugin.status,
                "api": plugin.api,
                "hooks": plugin.hooks,
                "error": plugin.error or None,
            }
            for plugin in found.plugins
        ]
        print_json({"plugins": plugins, "conflicts": _conflicts(found)})
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("plugin", "distribution", "version", "API", "status", "contributes"):
        table.add_column(title)
    for plugin in found.plugins:
        table.add_row(
            Text(plugin.name), Text(plugin.distribution), Text(plugin.version), str(plugin.api or "–"),
            Text(plugin.status, style=STYLES[plugin.status]), Text(plugin.error or _contributes(plugin)),
        )  # fmt: skip
    terminal = console()
    terminal.print(table)
    for conflict in _conflicts(found):
        told = " or ".join(conflict["providers"])
        terminal.print(Text(f"Two plugins provide the {conflict['kind']} {conflict['name']}; say {told}."))


def _contributes(plugin: Plugin) -> str:
    from xtool.contracts.registry import HOOKS

    counts = {hook: sum(isinstance(spec, kind) for spec in plugin.specs) for hook, kind in HOOKS.items()}
    named = ((hook.removeprefix("xtool_").replace("_", " "), n) for hook, n in counts.items() if n)
    return ", ".join(f"{n} {what if n > 1 else what.removesuffix('s')}" for what, n in named)


def _conflicts(found: Registry) -> list[dict[str, Any]]:
    return [
        {"kind": catalogue.kind, "name": name, "providers": providers}
        for catalogue in found.catalogues()
        for name, providers in catalogue.conflicts().items()
    ]
