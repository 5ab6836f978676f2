"""The images of a run, opened again through the data set that its manifest names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtool.datasets.opening import open_dataset
from xtool.errors import DataError, UsageError, XtoolError

if TYPE_CHECKING:
    from PIL import Image

    from xtool.contracts.protocols import Dataset
    from xtool.runs.run import Run

__all__ = ["Pictures"]


class Pictures:
    """Opens images by their index. Where the data set is out of reach, :attr:`problem` says why in words."""

    def __init__(self, run: Run, data_dir: str | Path | None = None) -> None:
        self._dataset: Dataset | None = None
        self.problem = ""
        """Why no image can be shown; empty where they can."""
        identity = run.identity.dataset
        where = data_dir if data_dir is not None else run.manifest.data_dir
        try:
            dataset = _open(identity.name, where)
            if dataset.fingerprint() == identity.fingerprint:
                self._dataset = dataset
            else:
                self.problem = f"the data set {identity.name} found here is not the one of this run"
        except XtoolError as error:
            self.problem = f"the data set {identity.name} cannot be opened: {error}"

    def open(self, index: int) -> Image.Image:
        """The image of one sample. Raises :class:`DataError` with the reason if it is not available."""
        if self._dataset is None:
            raise DataError(str(index), self.problem)
        return self._dataset[index].open()


def _open(name: str, data_dir: str | Path | None) -> Dataset:
    """By the name in the manifest. What follows the colon is a split, or, as ``voc`` has it, only the folder's name."""
    try:
        return open_dataset(name, data_dir)
    except UsageError:
        bare = name.partition(":")[0]
        if bare == name or data_dir is None:
            raise
        return open_dataset(bare, data_dir)
