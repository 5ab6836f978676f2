"""Insertion and deletion (Petsiuk et al., RISE, BMVC 2018): does the map point to what the score depends on?

Pixels enter (or leave) the image in the map's order, from 0 to 100 % of them; the area under the score's curve is
the metric. Numbers over only the first half of the pixels, as some papers report, are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.engine.masking import Base
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["Deletion", "Insertion", "Mode", "area", "curve", "keep_masks", "map_at_input"]

PAPER = "Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018"

Mode = Literal["insertion", "deletion"]
Masks = NDArray[np.bool_]
Score = Callable[[Masks], ArrayLike]


class _Causal(Metric):
    """The score is cos(image, text): not comparable with published numbers, which take class probabilities."""

    on_request = True
    runs_the_encoder = True
    shape = ()
    mode: ClassVar[Mode]
    base: ClassVar[Base]
    """What replaces the pixels of the image."""

    def measure(self, case: Case) -> float:
        """The area under one image's curve."""
        import torch

        from xtool.engine.masking import embed_masked
        from xtool.engine.work import account

        def score(keep: Masks) -> NDArray[Any]:
            masks = torch.from_numpy(keep).to(case.pixels.device).float()[None]
            with account():  # one of its own, so that these masks are not kept for other methods
                embedded = embed_masked(case.encoder, case.pixels, masks, base=self.base, scale=False).embeddings[0]
            cosines: NDArray[Any] = (embedded @ case.text[0].float()).cpu().numpy()
            return cosines

        return area(curve(map_at_input(case), score, self.mode))

    def per_image(self, results: Results) -> Floats | None:
        return results.numbers(self.info.name)


class Insertion(_Causal):
    """Pixels enter a blurred image."""

    info = MetricInfo(
        name="insertion",
        title="insertion",
        narrow="inser-\ntion",
        unit="score",
        direction="higher",
        summary="Area under the score while pixels enter a blurred image, most salient first.",
        paper=PAPER,
    )
    mode = "insertion"
    base = "blur"


class Deletion(_Causal):
    """Pixels leave for the training data's mean colour."""

    info = MetricInfo(
        name="deletion",
        title="deletion",
        narrow="dele-\ntion",
        unit="score",
        direction="lower",
        summary="Area under the score while pixels leave the image, most salient first.",
        paper=PAPER,
    )
    mode = "deletion"
    base = "zero"


def map_at_input(case: Case) -> NDArray[np.float32]:
    """[H, W] the label's map in [0, 1], resized bilinearly to the model input."""
    import torch

    low = torch.from_numpy(case.target.image_map.normalised)[None, None]
    resized = torch.nn.functional.interpolate(low, tuple(case.pixels.shape[-2:]), mode="bilinear")
    saliency: NDArray[np.float32] = resized[0, 0].numpy()
    return saliency


def curve(
    saliency: NDArray[Any], score: Score, mode: Mode, *, steps: int = 224, batch: int = 32
) -> NDArray[np.float64]:
    """Scores [steps + 1] as the pixels of a map [H, W], of the model input's size, enter or leave.

    ``score(keep)`` gets masks [K ≤ batch, H, W], ``True`` where the image is kept and ``False`` where the base
    (zero, mean colour or blur, which is the caller's) takes its place, and returns K scores. The published numbers
    use the softmax probability of the class, a blurred base for insertion and zero for deletion.
    """
    scores = [
        np.asarray(score(keep), np.float64).ravel() for keep in keep_masks(saliency, mode, steps=steps, batch=batch)
    ]
    values = np.concatenate(scores)
    if len(values) != steps + 1:
        raise ValueError(f"the scoring function returned {len(values)} scores for {steps + 1} masks")
    return values


def area(scores: ArrayLike) -> float:
    """Area under a curve of equal steps from 0 to 100 % of the pixels, by the trapezoidal rule."""
    values = np.asarray(scores, np.float64)
    return float((values[1:] + values[:-1]).mean() / 2)


def keep_masks(saliency: NDArray[Any], mode: Mode, *, steps: int, batch: int) -> Iterator[Masks]:
    """Masks [≤ batch, H, W] after 0, 1, … ``steps`` equal shares of the pixels have entered or left.

    Equally salient pixels go in raster order; NaN counts as least salient.
    """
    order = np.argsort(-np.nan_to_num(saliency.ravel(), nan=-np.inf), kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    moved = np.round(np.linspace(0, order.size, steps + 1)).astype(np.int64)
    for start in range(0, steps + 1, batch):
        entered = (rank < moved[start : start + batch, None]).reshape(-1, *saliency.shape)
        yield entered if mode == "insertion" else ~entered
