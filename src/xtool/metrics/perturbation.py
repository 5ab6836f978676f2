"""Positive and negative perturbation (Chefer et al., CVPR 2021): is the class still named without the pixels?

In nine steps, 10 to 90 % of the pixels turn black, the most salient first or the least salient first; after each step
one asks whether the class is still the model's Top-1. The number is the mean over steps and images, which papers call
the area under the curve. Insertion and deletion (:mod:`xtool.metrics.causal`) follow the score instead, in 224 steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xtool.metrics.causal import map_at_input
from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.case import Case
    from xtool.metrics.results import Results

__all__ = ["NegativePerturbation", "PositivePerturbation", "blackened"]

PAPER = "Chefer et al., Transformer Interpretability Beyond Attention Visualization, CVPR 2021"


class _Perturbation(Metric):
    """Measured where the sample has a class; the classes are those of the data set, by their texts."""

    on_request = True
    runs_the_encoder = True
    shape = (9,)
    most_salient: ClassVar[bool]
    """Whether the most salient pixels turn black first."""

    def measure(self, case: Case) -> list[bool] | None:
        """Whether the true class is Top-1 after each of the nine steps."""
        if case.ranks is None:
            return None
        import torch

        info = case.encoder.info
        mean, std = (torch.tensor(values, device=case.pixels.device)[:, None, None] for values in (info.mean, info.std))
        gone = torch.from_numpy(blackened(map_at_input(case), most_salient=self.most_salient)).to(case.pixels.device)
        with torch.inference_mode():
            embeddings = case.encoder.encode_image(torch.where(gone[:, None], -mean / std, case.pixels))
        return [rank == 1 for rank in case.ranks(embeddings)]

    def per_image(self, results: Results) -> Floats | None:
        steps = results.numbers(self.info.name)
        return None if steps is None else steps.mean(axis=1)


class PositivePerturbation(_Perturbation):
    """The most salient pixels first: a map of what the class hangs on loses it early."""

    info = MetricInfo(
        name="positive_perturbation",
        title="positive perturbation",
        narrow="pos.\npert.",
        unit="fraction",
        direction="lower",
        summary="How often the class is still Top-1 while the most salient pixels turn black, in nine steps.",
        paper=PAPER,
    )
    most_salient = True


class NegativePerturbation(_Perturbation):
    """The least salient pixels first: a map of what the class hangs on keeps it long."""

    info = MetricInfo(
        name="negative_perturbation",
        title="negative perturbation",
        narrow="neg.\npert.",
        unit="fraction",
        direction="higher",
        summary="How often the class is still Top-1 while the least salient pixels turn black, in nine steps.",
        paper=PAPER,
    )
    most_salient = False


def blackened(saliency: NDArray[Any], *, most_salient: bool) -> NDArray[np.bool_]:
    """[9, H, W] which pixels are black after 10, 20, … 90 % of them, from a map [H, W].

    Numbers of pixels are rounded down; equally salient pixels go in raster order, in both directions.
    """
    order = np.argsort(-saliency.ravel() if most_salient else saliency.ravel(), kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    counts = order.size * np.arange(1, 10) // 10
    gone: NDArray[np.bool_] = rank < counts[:, None]
    return gone.reshape(9, *saliency.shape)
