"""All checks of a data set."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xtool.contracts.protocols import Dataset, Sample
from xtool.contracts.registry import registry, resolve
from xtool.contracts.specs import DatasetSpec
from xtool.datasets.opening import open_dataset
from xtool.errors import XtoolError
from xtool.testing.checks.spec import cases, spec_cases
from xtool.testing.verdict import Case, CheckFailed, NotApplicable, require

LOOK_AT = 12
"""How many samples are looked at, spread evenly over the data set."""


@dataclass(frozen=True, slots=True)
class DatasetSubject:
    """A data set by name, and where its data are."""

    name: str
    spec: DatasetSpec
    data_dir: Path | None

    def open(self) -> Dataset:
        if self.spec.needs_data_dir and self.data_dir is None:
            raise NotApplicable("it needs its data: give data_dir, a small folder in the expected layout will do")
        return open_dataset(self.name, self.data_dir)

    def samples(self) -> list[Sample]:
        dataset = self.open()
        return [dataset[index] for index in _spread(len(dataset))]


def plan_dataset(name: str, data_dir: Path | None) -> list[Case]:
    """Checks of the spec, then of the opened data set."""
    catalogue = registry().datasets
    known = {item.spec.name for item in catalogue}
    bare = name if name in known or ":" not in name else name.rpartition(":")[0]
    provided = next((item for item in catalogue if name == item.qualified_name), None) or catalogue.find(bare)
    subject = DatasetSubject(name, provided.spec, data_dir)
    return [*spec_cases(provided.owner, provided.spec), *cases(CHECKS, subject)]


def every_split_opens(subject: DatasetSubject) -> None:
    """Each split opens, contains samples and says which it is; the first is the default."""
    default = subject.open()
    require(len(default) > 0, "it contains no sample")
    owner = subject.name.split(":")[0] if subject.name.endswith(f":{subject.spec.name}") else ""
    for split in subject.spec.splits:
        qualified = f"{owner}:{subject.spec.name}" if owner else subject.spec.name
        opened = open_dataset(f"{qualified}:{split}", subject.data_dir)
        require(
            opened.name.endswith(f":{split}"), f"split {split} calls itself {opened.name!r}; it should be name:split"
        )


def samples_are_sound(subject: DatasetSubject) -> None:
    """Ids are unique, the label is its own first synonym, and it is the class that class_index says."""
    dataset, samples = subject.open(), subject.samples()
    ids = [sample.id for sample in samples]
    require(len(set(ids)) == len(ids), "two samples have the same id")
    for sample in samples:
        require(
            bool(sample.synonyms) and sample.synonyms[0] == sample.label,
            f"{sample.id}: synonyms must start with the label",
        )
        require(sample.label not in (sample.absent, sample.distractor), f"{sample.id}: the label is its own control")
        if sample.class_index is not None:
            require(
                0 <= sample.class_index < len(dataset.classes),
                f"{sample.id}: class_index {sample.class_index} is no class",
            )
            names = dataset.classes[sample.class_index]
            require(sample.label in names, f"{sample.id}: {sample.label!r} is not class {sample.class_index}, {names}")


def images_open(subject: DatasetSubject) -> None:
    """Images open as RGB, the same each time, also from the threads that the core decodes in."""
    samples = subject.samples()
    first = [np.asarray(sample.open()) for sample in samples]
    for sample, pixels in zip(samples, first, strict=True):
        require(pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8, f"{sample.id} is not 8-bit RGB")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda sample: np.asarray(sample.open()), samples))
    require(all(map(np.array_equal, first, again)), "an image opens differently the second time, or in a thread")


def boxes_lie_in_the_image(subject: DatasetSubject) -> None:
    """Boxes are [N, 4] float64 with x0 < x1 and y0 < y1, inside the opened image; at least one."""
    for sample in subject.samples():
        boxes = sample.boxes
        require(
            boxes.ndim == 2 and boxes.shape[1] == 4 and len(boxes) > 0,
            f"{sample.id}: boxes are {boxes.shape}, not [N, 4]",
        )
        require(boxes.dtype == np.float64, f"{sample.id}: boxes are {boxes.dtype}, not float64")
        width, height = sample.open().size
        low, high = boxes[:, :2], boxes[:, 2:]
        require(bool((low < high).all()), f"{sample.id}: a box is empty; boxes are (x0, y0, x1, y1), half-open")
        inside = (low >= 0).all() and (high <= [width, height]).all()
        require(bool(inside), f"{sample.id}: a box leaves the {width}×{height} image: {boxes.tolist()}")


def masks_fit_the_image(subject: DatasetSubject) -> None:
    """Where there are masks, they are bool or 0, 1 and 255, of the image's size, and touch the boxes."""
    masked = [(sample, sample.open_mask) for sample in subject.samples() if sample.open_mask is not None]
    if not masked:
        raise NotApplicable("it has no masks")
    for sample, open_mask in masked:
        mask = open_mask()
        require(mask.dtype in (np.bool_, np.uint8), f"{sample.id}: the mask is {mask.dtype}, not bool or uint8")
        require(bool(np.isin(mask, (0, 1, 255)).all()), f"{sample.id}: the mask has other values than 0, 1 and 255")
        require(mask.shape == sample.open().size[::-1], f"{sample.id}: the mask is {mask.shape}, not [height, width]")
        x0, y0, x1, y1 = sample.boxes[0].round().astype(int)
        require(bool((mask[y0:y1, x0:x1] == 1).any()), f"{sample.id}: the mask is empty inside the first box")


def order_is_fixed(subject: DatasetSubject) -> None:
    """Opened twice, it has the same samples in the same order, and the same fingerprint."""
    one, other = subject.open(), subject.open()
    require(one.fingerprint() == other.fingerprint() != "", "the fingerprint changes, or is empty")
    require(len(one) == len(other), "the length changes")
    for index in _spread(len(one)):
        require(one[index].id == other[index].id, f"sample {index} is different the second time")


def refuses_in_words(subject: DatasetSubject) -> None:
    """A split that does not exist, and a folder without the data, are refused with an XtoolError."""
    factory = resolve(subject.spec.factory)
    _refuses("the split no-such-split", lambda: factory(subject.data_dir, "no-such-split"))
    if subject.spec.needs_data_dir:
        _refuses("a folder without the data", lambda: len(factory(Path("/no/such/folder"), None)))


CHECKS = (
    every_split_opens,
    samples_are_sound,
    images_open,
    boxes_lie_in_the_image,
    masks_fit_the_image,
    order_is_fixed,
    refuses_in_words,
)


def _spread(length: int) -> list[int]:
    return sorted({round(i * (length - 1) / max(1, LOOK_AT - 1)) for i in range(LOOK_AT)}) if length else []


def _refuses(what: str, attempt: Callable[[], object]) -> None:
    try:
        attempt()
    except XtoolError:
        return
    except Exception as error:
        raise CheckFailed(
            f"{what} ends in {type(error).__name__}: {error}; raise an xtool.errors.XtoolError"
        ) from error
    raise CheckFailed(f"{what} was accepted")
