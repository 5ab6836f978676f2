"""Data sets by name, ``name`` or ``name:split``, built in or a plugin's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtool.contracts.catalogue import Provided
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import PHOTOGRAPHS, DatasetSpec
from xtool.errors import UsageError, blamed

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset

__all__ = ["example_name", "open_dataset", "shown_by"]


def open_dataset(name: str | None = None, data_dir: str | Path | None = None) -> Dataset:
    """Open a data set by ``name`` or ``name:split``; by default the one that an installed plugin suggests.

    Raises:
        UsageError: unknown name or split, or no ``data_dir`` where the data set needs one.
        DataError: the data are missing or not in the expected layout.
    """
    provided, split = _find(name)
    spec = provided.spec
    if split is not None and spec.splits and split not in spec.splits:
        raise UsageError(f"data set {spec.name} has no split {split!r}; it has: {', '.join(spec.splits)}")
    if spec.needs_data_dir and data_dir is None:
        raise UsageError(
            f"data set {spec.name} needs --data-dir; `xtool datasets {spec.name}` says what it expects there"
        )
    folder = None if data_dir is None else Path(data_dir)
    if folder is not None and not folder.exists():
        raise UsageError(f"--data-dir {folder} does not exist")
    with blamed(f"data set {spec.name} of the plugin {provided.owner}"):
        opened: Dataset = resolve(spec.factory)(folder, split)
    return opened


def shown_by(dataset: str | Dataset | None) -> str:
    """What the pictures of a data set show, as its spec says; photographs if it has none that says."""
    try:
        return _find(dataset if dataset is None or isinstance(dataset, str) else dataset.name)[0].spec.shows
    except UsageError:  # a data set of the caller's own, or a wrong name, which opening it refuses in words
        return PHOTOGRAPHS


def example_name() -> str:
    """The data set whose first sample replaces a picture that is not given: one of photographs, if there is one."""
    datasets = registry().datasets
    return datasets.name_of(datasets.default(PHOTOGRAPHS))


def _find(name: str | None) -> tuple[Provided[DatasetSpec], str | None]:
    """The data set of ``name`` or ``name:split``, and the split if one is named."""
    datasets = registry().datasets
    if name is None:
        return datasets.default(), None
    known = {item.spec.name for item in datasets} | {item.owner for item in datasets}
    bare, _, last = name.rpartition(":")
    # What follows the colon is a split, unless it is the data set in plugin:name.
    split = last if bare and last not in known else None
    return datasets.find(name if split is None else bare), split
