"""Fewer feature maps by clustering: maps that would mask an image alike become one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-7  # of the mask engine


def cluster_sums(maps: Tensor, clusters: int) -> Tensor:
    """Sum the maps [B, C, h, w] of each image within at most k Ward clusters: [B, min(k, C), h, w].

    Maps are compared by shape, each scaled to [0, 1] as the mask engine does. The sum rather than the mean, so that a
    method's Σ w A over these maps is that over all maps with one weight for each cluster; as a mask, scaled, both
    are the same. Constant maps are left out. Clusters are in the order of their first map, and where there are fewer
    than k, the rest are zero (a mask that costs no pass). Nothing is random.
    """
    images, channels, height, width = maps.shape
    k = min(clusters, channels)
    sums = maps.new_zeros((images, k, height, width), dtype=torch.float32)
    for image in range(images):
        flat = maps[image].detach().float().flatten(1)
        low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
        alive = (high > low).squeeze(1).nonzero().squeeze(1)
        if len(alive) == 0:
            continue
        scaled = ((flat - low) / (high - low + EPS))[alive].double().cpu().numpy()
        member_of = F.one_hot(torch.from_numpy(_ward(scaled, k)), k).float().to(maps.device)
        sums[image] = torch.einsum("ck,chw->khw", member_of, maps[image, alive].float())
    return sums


def _ward(rows: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """[N] the cluster of each row, at most k of them, numbered in the order of their first rows."""
    from scipy.cluster.hierarchy import fcluster, linkage  # most of a second to import, for those who cluster alone

    if len(rows) <= k:
        return np.arange(len(rows))
    found = fcluster(linkage(rows, "ward"), k, "maxclust")
    _, first, place = np.unique(found, return_index=True, return_inverse=True)
    order: NDArray[np.int64] = np.argsort(np.argsort(first))
    return order[place]
