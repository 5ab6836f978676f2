"""Runs the experiments of a table, each into a directory of its own, so that a table can be resumed and sharded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtool.plugin import OnProgress, Run, SetupError, UsageError, compare, load_encoder, open_dataset, open_runs
from xtool_vlscore.reproduce.plan import Experiment

if TYPE_CHECKING:
    from xtool.plugin import Dataset

__all__ = ["IMAGENET", "Measured", "measure", "open_table_data"]

IMAGENET = "imagenet"

WHERE_FROM = """\
The tables are measured on ImageNet-1k validation. Get, into one folder DIR:
  ILSVRC2012_img_val.tar      the images, from image-net.org after registration; leave it packed
  LOC_val_solution.csv        the boxes, and
  LOC_synset_mapping.txt      the class names, both from Kaggle's "ImageNet Object Localization Challenge"
Kaggle's own folders (ILSVRC/Data/CLS-LOC/val, ILSVRC/Annotations/CLS-LOC/val) work, too. Then:
  xtool reproduce TABLE --data-dir DIR
To try the command without ImageNet: --encoder tiny-rn --dataset scenes --limit 20"""


@dataclass(frozen=True, slots=True)
class Measured:
    """An experiment and its run, or why there is none."""

    experiment: Experiment
    paths: tuple[Path, ...]
    """The run's directories: one, or those of all shards found."""
    problem: str = ""

    def run(self, threshold: float | None) -> Run:
        """The run, with shards merged, at one threshold."""
        return open_runs(self.paths, threshold)[0]


def open_table_data(name: str, data_dir: str | None) -> Dataset:
    """Open the data set. Where ImageNet is missing, say what to get and where to put it: :class:`UsageError`."""
    if name.partition(":")[0] != IMAGENET:
        return open_dataset(name, data_dir)
    if data_dir is None:
        raise UsageError(WHERE_FROM)
    try:
        return open_dataset(name, data_dir)
    except UsageError as error:
        raise UsageError(f"{error}\n\n{WHERE_FROM}") from error


def measure(
    experiment: Experiment,
    dataset: Dataset,
    *,
    out: Path,
    loading: Mapping[str, Any],
    progress: Callable[[], AbstractContextManager[OnProgress]],
    data_dir: str | None = None,
    limit: int | None = None,
    shard: tuple[int, int] = (1, 1),
    on_error: str = "stop",
) -> Measured:
    """Run one experiment, continuing what exists already.

    An optional experiment that lacks a plugin, weights or OpenCV gives a :class:`Measured` with the reason.
    """
    whole = out / experiment.folder
    here = whole / f"shard-{shard[0]}-of-{shard[1]}"
    try:
        encoder = load_encoder(experiment.encoder, **loading)
        classifier = load_encoder(experiment.classifier, **loading) if experiment.classifier else None
        with progress() as on_progress:
            compare(
                dataset,
                data_dir=data_dir,
                methods=[experiment.method],
                encoder=encoder,
                classifier=classifier,
                protocol=experiment.protocol,
                limit=limit if limit is not None else experiment.limit,
                shard=shard,
                on_error=on_error,
                out=here,
                resume=True,
                on_progress=on_progress,
            )
    except (SetupError, UsageError) as error:
        if not experiment.optional:
            raise
        return Measured(experiment, (), str(error))
    return Measured(experiment, tuple(sorted(whole.glob(f"shard-*-of-{shard[1]}"))))
