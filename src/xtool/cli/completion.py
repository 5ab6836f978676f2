"""Completion of values in the shell: names of methods, encoders and data sets.

The specs of plugins are enough, so completing imports neither torch nor any plugin's code but its specs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from xtool.contracts.catalogue import Catalogue

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_methods(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """``grad`` → ``gradcam``, ``gradcam++``; ``vlscore:te`` → ``vlscore:temperature=``; the last of ``a,b,…``."""
    from xtool.contracts.registry import registry

    before, comma, last = incomplete.rpartition(",")
    head = before + comma
    name, colon, option = last.rpartition(":")
    if colon and "=" not in option:
        return _starting(head + name + ":", _options(name.partition(":")[0]), option)
    return _starting(head, _names(registry().saliency_methods), last)


def complete_encoders(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of encoders."""
    from xtool.contracts.registry import registry

    return _starting("", _names(registry().encoders), incomplete)


def complete_datasets(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of data sets, and after a colon their splits."""
    from xtool.contracts.registry import registry

    datasets = registry().datasets
    named = [(f"{item.spec.name}:{split}", item.spec.summary) for item in datasets for split in item.spec.splits]
    return _starting("", [*_names(datasets), *named], incomplete)


def _names(catalogue: Catalogue[Any]) -> Iterable[tuple[str, str]]:
    return [(catalogue.name_of(item), item.spec.summary) for item in catalogue]


def _options(method: str) -> Iterable[tuple[str, str]]:
    from xtool.contracts.registry import registry
    from xtool.engine.methods import config_class
    from xtool.errors import XtoolError

    try:
        config = config_class(registry().saliency_methods.find(method).spec)
    except XtoolError:
        return []
    fields = [(f"{name}=", told.description or "") for name, told in config.model_fields.items()]
    presets = [(f"preset={name}", "") for name in config.presets]
    return [*fields, *presets]


def _starting(head: str, offered: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(head + name, help=told) for name, told in offered if name.startswith(incomplete)]
