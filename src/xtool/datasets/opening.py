"""Data sets by name, ``name`` or ``name:split``, built in or a plugin's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtool.contracts.registry import registry, resolve
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset

__all__ = ["open_dataset"]


def open_dataset(name: str | None = None, data_dir: str | Path | None = None) -> Dataset:
    """Open a data set by ``name`` or ``name:split``; by default the one that an installed plugin suggests.

    Raises:
        UsageError: unknown name or split, or no ``data_dir`` where the data set needs one.
        DataError: the data are not there or not in the expected layout.
    """
    datasets = registry().datasets
    name = datasets.default().qualified_name if name is None else name
    known = {item.spec.name for item in datasets} | {item.owner for item in datasets}
    bare, _, last = name.rpartition(":")
    # What follows the colon is a split, unless it is the data set in plugin:name.
    split = last if bare and last not in known else None
    spec = datasets.find(name if split is None else bare).spec
    if split is not None and spec.splits and split not in spec.splits:
        raise UsageError(f"data set {spec.name} has no split {split!r}; it has: {', '.join(spec.splits)}")
    if spec.needs_data_dir and data_dir is None:
        raise UsageError(
            f"data set {spec.name} needs --data-dir; `xtool datasets {spec.name}` says what it expects there"
        )
    folder = None if data_dir is None else Path(data_dir)
    if folder is not None and not folder.exists():
        raise UsageError(f"--data-dir {folder} does not exist")
    opened: Dataset = resolve(spec.factory)(folder, split)
    return opened
