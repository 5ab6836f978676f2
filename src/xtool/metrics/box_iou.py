"""How well boxes fit, on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtool.metrics.metric import Floats, Metric, MetricInfo

if TYPE_CHECKING:
    from xtool.metrics.results import Results

__all__ = ["BoxIoU"]


class BoxIoU(Metric):
    """Mean best IoU at the row's threshold; an image without any box counts 0."""

    info = MetricInfo(
        name="box_iou",
        title="box IoU",
        narrow="box\nIoU",
        unit="fraction",
        direction="higher",
        summary="Mean over images of the best IoU of any predicted with any true box, at the row's threshold.",
    )

    def per_image(self, results: Results) -> Floats:
        best: Floats = results.ious.mean(axis=1)
        return best
