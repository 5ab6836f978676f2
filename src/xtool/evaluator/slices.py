"""Slices: the images of a run that are explained together.

A slice is a fixed stretch of the run's list of images. Kernels may round differently for another number of images, so
a resumed run explains a slice that was partly done as the same images together, and only writes what is missing: its
records are those of a run that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from xtool.contracts.config import MaskConfig

if TYPE_CHECKING:
    from xtool.engine.methods import MethodRequest

__all__ = ["Slice", "automatic_size", "sliced"]

CPU = 16
"""Images at once on a processor: twice as many win little more (``docs/benchmarks.md``), and take twice the memory."""
PER_IMAGE = 256 * 2**20
"""Bytes of an accelerator's memory for each image of a slice."""
LEAST, MOST = 16, 256
"""Images at once on an accelerator."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Images that are explained together, and what is still missing of them."""

    indices: tuple[int, ...]
    """Of the samples in their data set."""
    missing: tuple[tuple[str, ...], ...]
    """Of each image, the labels of the methods whose record is to be made; empty for one that is only there so that
    the slice is what it was."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the methods that any of the images needs."""
        return tuple(dict.fromkeys(label for labels in self.missing for label in labels))


def sliced(indices: Sequence[int], size: int, missing: Callable[[int], Sequence[str]]) -> Iterator[Slice]:
    """The slices of a run of which anything is missing.

    Args:
        indices: of all samples of the run, in order, whatever is done.
        size: images in a slice.
        missing: the labels of the methods that have not answered for the sample of an index.
    """
    for start in range(0, len(indices), size):
        own = tuple(indices[start : start + size])
        still = tuple(tuple(missing(index)) for index in own)
        if any(still):
            yield Slice(own, still)


def automatic_size(requests: Sequence[MethodRequest], device: torch.device) -> int:
    """How many images to explain at once: one where a method embeds hundreds of masked images of each anyway.

    It does not depend on how fast the machine happens to be, so that a run can be repeated.

    Args:
        requests: the methods, their options resolved.
        device: of the encoder.
    """
    if not all(_takes_many(request) for request in requests):
        return 1
    if device.type != "cuda":
        return CPU
    room = torch.cuda.get_device_properties(device).total_memory // PER_IMAGE
    return max(LEAST, min(MOST, 1 << (room.bit_length() - 1)))


def _takes_many(request: MethodRequest) -> bool:
    masks_pixels = isinstance(request.config, MaskConfig) and request.config.mask_at == "pixels"
    return request.provided.spec.own_texts and not masks_pixels
