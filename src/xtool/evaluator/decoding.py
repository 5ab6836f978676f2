"""The images of slices, decoded and fitted ahead of those that are being explained."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xtool.engine.work import IMAGES, part
from xtool.errors import DataError, PluginError, blamed
from xtool.evaluator.slices import Slice
from xtool.image.pixels import FittedImage, fit_image
from xtool.store.records import Failure, storable

if TYPE_CHECKING:
    from xtool.contracts.protocols import Dataset, EncoderInfo, Sample
    from xtool.image.geometry import Fit

__all__ = ["Decoded", "decoded", "failure"]

AHEAD = 4
"""Images decoded ahead at least; at most those of the next slice."""
THREADS = 16
"""Decoding threads at most; Pillow decodes and resizes without the interpreter's lock."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A sample and its picture, as each of the encoders takes it."""

    sample: Sample
    fitted: tuple[FittedImage, ...]


def failure(index: int, image: str, reason: object, method: str | None = None) -> Failure:
    """What a run writes down of an image that could not be used, by any method or by one."""
    return Failure(index=index, image=storable(image), error=storable(str(reason)), method=method)


def decoded(
    slices: Iterable[Slice], dataset: Dataset, encoders: tuple[EncoderInfo, ...], fit: Fit
) -> Generator[tuple[Slice, list[Decoded | Failure]], None, None]:
    """Yield slices in order, with each of their images, or why it cannot be used.

    The pictures themselves are let go: only what encoders take of them is held.
    """

    def decode(index: int) -> Decoded | Failure:
        name = f"sample {index}"
        try:
            with blamed(f"data set {dataset.name}"):
                sample = dataset[index]
                name = sample.id
                whole = sample.open()
                _check_boxes(sample)
                return Decoded(sample, tuple(fit_image(whole, info, fit) for info in encoders))
        except DataError as error:
            return failure(index, error.file, error.reason)
        except PluginError as error:
            return failure(index, name, error)

    threads = max(2, min(THREADS, os.cpu_count() or 1))
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        queue: deque[tuple[Slice, list[Future[Decoded | Failure]]]] = deque()
        try:
            for following in slices:
                queue.append((following, [pool.submit(decode, index) for index in following.indices]))
                if sum(len(futures) for _, futures in list(queue)[1:]) >= AHEAD:
                    yield _ready(*queue.popleft())
            while queue:
                yield _ready(*queue.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _ready(one: Slice, futures: list[Future[Decoded | Failure]]) -> tuple[Slice, list[Decoded | Failure]]:
    with part(IMAGES):
        return one, [future.result() for future in futures]


def _check_boxes(sample: Sample) -> None:
    boxes = np.asarray(sample.boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
        raise DataError(sample.id, f"the true boxes must be finite numbers [N, 4], not {boxes.tolist()}")
