"""``xtool methods``, ``xtool encoders`` and ``xtool datasets``: what there is, or one thing in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from xtool.contracts.registry import Catalogue, Provided


@click.command("methods")
@click.argument("name", required=False)
def methods_command(*, name: str | None) -> None:
    """List saliency methods, or show NAME with its options, defaults and paper."""
    from xtool.contracts.registry import registry

    catalogue = registry().saliency_methods
    if name is None:
        _list(catalogue, lambda spec: [" ".join(spec.architectures), spec.forwards], ["encoders", "forwards"])
        return
    from xtool.engine.methods import config_class

    spec = catalogue.find(name).spec
    facts = {
        "encoders": " ".join(spec.architectures),
        "forwards per image": spec.forwards,
        "requires": " ".join(sorted(spec.requires)) or "–",
    }
    _show(catalogue.find(name), facts, _options_table(config_class(spec)))


@click.command("encoders")
@click.argument("name", required=False)
def encoders_command(*, name: str | None) -> None:
    """List encoders, or show NAME."""
    from xtool.contracts.registry import registry

    catalogue = registry().encoders
    if name is None:
        _list(catalogue, lambda spec: [spec.default_pretrained or "–"], ["default weights"])
        return
    spec = catalogue.find(name).spec
    _show(catalogue.find(name), {"default weights": spec.default_pretrained or "none: give --pretrained"})


@click.command("datasets")
@click.argument("name", required=False)
def datasets_command(*, name: str | None) -> None:
    """List data sets, or show NAME."""
    from xtool.contracts.registry import registry

    catalogue = registry().datasets
    if name is None:
        _list(
            catalogue,
            lambda spec: [" ".join(spec.splits) or "–", "yes" if spec.needs_data_dir else "no"],
            ["splits", "needs --data-dir"],
        )
        return
    spec = catalogue.find(name).spec
    facts = {"splits": " ".join(spec.splits) or "–", "needs --data-dir": "yes" if spec.needs_data_dir else "no"}
    from xtool.contracts.registry import resolve

    _show(catalogue.find(name), {**facts, "expects": (resolve(spec.factory).__doc__ or "").strip()})


def _list(catalogue: Catalogue[Any], extra: Any, titles: list[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("name", "plugin", "summary", *titles):
        table.add_column(title, no_wrap=title in ("name", "plugin"))
    for item in catalogue:
        name = item.qualified_name if item.spec.name in catalogue.conflicts() else item.spec.name
        table.add_row(name, item.owner, Text(item.spec.summary), *map(Text, extra(item.spec)))
    Console().print(table)


def _show(item: Provided[Any], facts: dict[str, str], table: Table | None = None) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text.assemble((item.spec.name, "bold"), f" ({item.owner})  {item.spec.summary}"))
    for key, value in {"paper": item.spec.paper or "–", **facts}.items():
        console.print(Text.assemble((f"{key}: ", "dim"), value))
    if table is not None:
        console.print(table)


def _options_table(config: Any) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("option", "default", "type", "meaning"):
        table.add_column(title)
    for name, told in config.model_fields.items():
        kind = str(getattr(told.annotation, "__name__", told.annotation)).replace("typing.", "")
        table.add_row(name, Text(str(told.default)), Text(kind), Text(told.description or ""))
    for preset, values in config.presets.items():
        given = " ".join(f"{key}={value}" for key, value in values.items())
        table.add_row(f"preset={preset}", "", "", Text(given))
    return table
