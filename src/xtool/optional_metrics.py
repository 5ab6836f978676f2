"""Metrics that a comparison measures only when asked, as they need true masks or many more forwards.

- ``pxap``: pixel-wise average precision, where the data set has masks
- ``insertion``, ``deletion``: does the map point at what the score depends on? The score is cos(image, text); pixels
  enter a blurred image, or leave for the data's mean colour. Not comparable with numbers over class probabilities.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xtool.engine.masking import Base, embed_masked
from xtool.engine.work import account
from xtool.errors import UsageError
from xtool.metrics.causal import Mode, area, curve
from xtool.metrics.image_map import ImageMap
from xtool.metrics.metric import OPTIONAL_METRICS
from xtool.metrics.pxap import PxAP

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, Sample
    from xtool.runs.records import Record

BASES: dict[Mode, Base] = {"insertion": "blur", "deletion": "zero"}


def check_metrics(names: Collection[str]) -> frozenset[str]:
    """The names, each known. Raises :class:`UsageError`."""
    unknown = sorted(set(names) - set(OPTIONAL_METRICS))
    if unknown:
        raise UsageError(f"unknown metric {', '.join(unknown)}; there are {', '.join(OPTIONAL_METRICS)}")
    return frozenset(names)


def measure(
    names: Collection[str], image_map: ImageMap, sample: Sample, encoder: Encoder, pixels: Tensor, text: Tensor
) -> Record:
    """What the chosen metrics add to a record; ``pixels`` [1, 3, H, W] and ``text`` [1, D] are what was explained."""
    record: Record = {}
    if "pxap" in names and sample.open_mask is not None:
        histograms = PxAP()
        histograms.update(image_map, sample.open_mask())
        record["pxap"] = [histograms.foreground.astype(int).tolist(), histograms.background.astype(int).tolist()]
    for mode, base in BASES.items():
        if mode in names:
            record[mode] = _causal_area(mode, base, image_map, encoder, pixels, text)
    return record


def summarise_metrics(records: Collection[Record]) -> dict[str, float | None]:
    """Each optional metric over a data set; ``None`` where it was not measured."""
    summary: dict[str, float | None] = dict.fromkeys(OPTIONAL_METRICS)
    masks = [record["pxap"] for record in records if "pxap" in record]
    if masks:
        histograms = PxAP()
        histograms.foreground, histograms.background = np.sum(np.array(masks, dtype=np.float64), axis=0)
        summary["pxap"] = histograms.summary()
    for mode in BASES:
        areas = [record[mode] for record in records if mode in record]
        if areas:
            summary[mode] = float(np.mean(areas))
    return summary


def _causal_area(mode: Mode, base: Base, image_map: ImageMap, encoder: Encoder, pixels: Tensor, text: Tensor) -> float:
    height, width = pixels.shape[-2:]
    saliency = _at_input_size(image_map.normalised, height, width)

    def score(keep: NDArray[np.bool_]) -> NDArray[Any]:
        masks = torch.from_numpy(keep).to(pixels.device).float()[None]
        with account():  # one that keeps nothing: no other method has these masks
            embedded = embed_masked(encoder, pixels, masks, base=base, scale=False).embeddings[0]
        cosines: NDArray[Any] = (embedded @ text[0].float()).cpu().numpy()
        return cosines

    return area(curve(saliency, score, mode))


def _at_input_size(low: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    heat = torch.from_numpy(low)[None, None]
    resized: NDArray[np.float32] = torch.nn.functional.interpolate(heat, (height, width), mode="bilinear")[0, 0].numpy()
    return resized
