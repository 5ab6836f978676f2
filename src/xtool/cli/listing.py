"""``xtool methods``, ``xtool encoders`` and ``xtool datasets``: what is installed, or one item in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from xtool.cli.completion import complete_datasets, complete_encoders, complete_methods
from xtool.cli.terminal import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xtool.contracts.catalogue import Catalogue, Provided
    from xtool.contracts.specs import DatasetSpec, EncoderSpec, SaliencyMethodSpec

LEGEND = """\
size: weights of both towers, in millions where known
here: whether the default weights are on this machine; – where none are default, and --pretrained must name some
`xtool encoders FAMILY` lists a family, `xtool encoders --all` every encoder."""


@click.command("methods")
@click.argument("name", required=False, shell_complete=complete_methods)
def methods_command(*, name: str | None) -> None:
    """List saliency methods, or show NAME with its options, choices, defaults and paper."""
    from xtool.contracts.registry import registry

    catalogue = registry().saliency_methods
    if name is None:
        _list(
            catalogue, {"encoders": lambda spec: " ".join(spec.architectures), "forwards": lambda spec: spec.forwards}
        )
        return
    from xtool.engine.methods import config_class

    spec: SaliencyMethodSpec = catalogue.find(name).spec
    facts = {
        "encoders": " ".join(spec.architectures),
        "forwards per image": spec.forwards,
        "requires": " ".join(sorted(spec.requires)) or "–",
    }
    _show(catalogue.find(name), facts, _options_table(config_class(spec)))


@click.command("encoders")
@click.argument("name", metavar="[NAME|FAMILY]", required=False, shell_complete=complete_encoders)
@click.option("--all", "everything", is_flag=True, help="Every encoder, not families.")
def encoders_command(*, name: str | None, everything: bool) -> None:
    """List encoders by family; show one, or all of a family.

    An encoder whose weights are not on this machine downloads them when it is first used; one without default weights
    needs --pretrained with a tag, a file or none.
    """
    from xtool.contracts.registry import registry

    catalogue = registry().encoders
    families = _families(catalogue)
    if name is None and not everything:
        _list_families(catalogue, families)
        return
    if name is None or name in families:
        chosen = list(catalogue) if name is None else families[name]
        weights = {"size": _size, "weights": lambda spec: spec.default_pretrained or "–", "here": _here}
        _list(catalogue, weights, chosen)
        return
    from xtool.engine.encoder_names import find_encoder

    item = find_encoder(name)
    spec = item.spec
    facts = {
        "family": _family(spec),
        "knows": _knows(spec),
        "parameters": _size(spec),
        "default weights": spec.default_pretrained or "none: give --pretrained",
        "weights on this machine": _here(spec),
    }
    _show(item, facts)


@click.command("datasets")
@click.argument("name", required=False, shell_complete=complete_datasets)
def datasets_command(*, name: str | None) -> None:
    """List data sets, or show NAME."""
    from xtool.contracts.registry import registry, resolve

    catalogue = registry().datasets
    needs: dict[str, Callable[[DatasetSpec], str]] = {
        "splits": lambda spec: " ".join(spec.splits) or "–",
        "needs --data-dir": lambda spec: "yes" if spec.needs_data_dir else "no",
    }
    if name is None:
        _list(catalogue, needs)
        return
    spec: DatasetSpec = catalogue.find(name).spec
    facts = {title: value(spec) for title, value in needs.items()}
    facts["shows"] = spec.shows
    _show(catalogue.find(name), {**facts, "expects": (resolve(spec.factory).__doc__ or "").strip()})


def _families(catalogue: Catalogue[EncoderSpec]) -> dict[str, list[Provided[EncoderSpec]]]:
    """Encoders by family; families with weights that load without being asked for come first."""
    found: dict[str, list[Provided[EncoderSpec]]] = {}
    for item in catalogue:
        found.setdefault(_family(item.spec), []).append(item)
    return dict(
        sorted(
            found.items(),
            key=lambda pair: (
                -max(item.spec.suggested for item in pair[1]),
                not any(item.spec.default_pretrained for item in pair[1]),
                pair[0].lower(),
            ),
        )
    )


def _list_families(catalogue: Catalogue[EncoderSpec], families: Mapping[str, Sequence[Provided[EncoderSpec]]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)  # fits 80 columns
    for title in ("family", "", "for example", "knows", "size", "here"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("", "size") else "left")
    for family, items in families.items():
        specs = [item.spec for item in items]
        # One that runs as it is, by its shortest name: not a variant of another.
        example = min(items, key=lambda item: (item.spec.default_pretrained is None, len(item.spec.name)))
        knows = ", ".join(dict.fromkeys(map(_knows, specs)))
        cells = (family, str(len(items)), catalogue.name_of(example), knows, _sizes(specs), _how_many_here(specs))
        table.add_row(*map(Text, cells))
    terminal = console()
    terminal.print(table)
    _print_default(terminal, catalogue)
    terminal.print(Text(LEGEND, style="dim"))


def _how_many_here(specs: Sequence[EncoderSpec]) -> str:
    told = [here for spec in specs if (here := _here(spec)) != "–"]
    present = told.count("yes")
    return "–" if not told else "all" if present == len(told) else f"{present} of {len(told)}" if present else "none"


def _family(spec: EncoderSpec) -> str:
    return spec.family or spec.name


def _knows(spec: EncoderSpec) -> str:
    return spec.knows or "–"


def _size(spec: EncoderSpec) -> str:
    return _sizes([spec])


def _sizes(specs: Sequence[EncoderSpec]) -> str:
    known = [spec.parameters for spec in specs if spec.parameters is not None]
    if not known:
        return "–"
    low, high = _millions(min(known)), _millions(max(known))
    return f"{low} M" if low == high else f"{low}–{high} M"


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.0f}" if parameters >= 10_000_000 else f"{parameters / 1e6:.1f}"


def _here(spec: EncoderSpec) -> str:
    from xtool.contracts.registry import resolve

    if spec.default_pretrained is None or not spec.on_disk:
        return "–"
    return "yes" if resolve(spec.on_disk)(spec.name) else "no"


def _list(
    catalogue: Catalogue[Any],
    columns: Mapping[str, Callable[[Any], str]],
    chosen: Sequence[Provided[Any]] | None = None,
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for title in ("name", "plugin", *columns, "summary"):
        table.add_column(title, no_wrap=title in ("name", "plugin"))
    for item in catalogue if chosen is None else chosen:
        extra = [Text(value(item.spec)) for value in columns.values()]
        table.add_row(catalogue.name_of(item), item.owner, *extra, Text(item.spec.summary))
    terminal = console()
    terminal.print(table)
    _print_default(terminal, catalogue)


def _print_default(terminal: Console, catalogue: Catalogue[Any]) -> None:
    names = [catalogue.name_of(item) for item in catalogue.suggested()]
    if not names:
        return
    told = ", ".join(names)
    if catalogue.kind == "encoder":
        told = ", ".join(f"{name} for {_knows(catalogue.find(name).spec)}" for name in names)
    elif catalogue.kind == "data set":
        from xtool.datasets.opening import example_name

        told = f"{names[0]}; without an image, explain and features show {example_name()}"
    terminal.print(f"default: {told}", highlight=False)


def _show(item: Provided[Any], facts: dict[str, str], table: Table | None = None) -> None:
    from rich.text import Text

    terminal = console()
    terminal.print(Text.assemble((item.spec.name, "bold"), f" ({item.owner})  {item.spec.summary}"))
    for key, value in {"paper": item.spec.paper or "–", **facts}.items():
        terminal.print(Text.assemble((f"{key}: ", "dim"), value))
    if table is not None:
        terminal.print(table)


def _options_table(config: Any) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("option", "default", "values", "meaning"):
        table.add_column(title)
    for name, told in config.model_fields.items():
        default = "none" if told.default is None else str(told.default)
        table.add_row(name, Text(default), Text(choices(told.annotation)), Text(told.description or ""))
    for preset, values in config.presets.items():
        given = " ".join(f"{key}={value}" for key, value in values.items())
        table.add_row(f"preset={preset}", "", "", Text(given))
    return table


def choices(annotation: Any) -> str:
    """What may be given for an option, as people write it: ``"cosine or dot"``, ``"whole number or none"``."""
    import types
    import typing

    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join("none" if value is None else str(value) for value in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(choices(part) for part in typing.get_args(annotation))
    if origin is typing.Annotated:
        return choices(typing.get_args(annotation)[0])
    words = {type(None): "none", bool: "true or false", int: "whole number", float: "number", str: "text"}
    return words.get(annotation, str(getattr(annotation, "__name__", annotation)))
