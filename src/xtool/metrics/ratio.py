"""Numbers that are a quotient of sums over all images, as values of single images.

Such a number is no mean over images, so that its interval and its paired difference need each image's share of it.
"""

from __future__ import annotations

import numpy as np

from xtool.metrics.metric import Floats

__all__ = ["ratio_values"]


def ratio_values(parts: Floats, wholes: Floats) -> Floats:
    """[images] values whose mean is R = Σ parts / Σ wholes: how R depends on each image, to first order.

    The image's value is R + (part − R · whole) / mean(wholes), the linearisation of a ratio estimator (Cochran,
    Sampling Techniques, 3rd ed., 1977, section 6.3). Images that are NaN in both stay NaN and count nowhere; R is 0
    where the wholes are all 0.

    Args:
        parts: [images] ≥ 0, or NaN where nothing was measured.
        wholes: [images] ≥ 0, or NaN at the same images.
    """
    total = np.nansum(wholes)
    if not total:
        return parts * 0.0
    ratio = np.nansum(parts) / total
    values: Floats = ratio + (parts - ratio * wholes) / np.nanmean(wholes)
    return values
