"""Fewer feature maps: principal components, or sums of maps that would mask an image similarly."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.masks import live_maps, scaled_masks

__all__ = ["cluster_sums", "principal_components"]


def principal_components(maps: Tensor, components: int) -> Tensor:
    """Project maps [B, C, h, w] of each image onto their own first principal components: [B, k, h, w].

    Positions are the observations and channels the variables. The sign of a component, which PCA leaves open, is set
    so that its largest loading is positive; k is at most ``min(C, h·w)``.
    """
    batch, channels, height, width = maps.shape
    k = min(components, channels, height * width)
    x = maps.float().flatten(2).transpose(1, 2)  # [B, h·w, C]
    x = x - x.mean(dim=1, keepdim=True)
    _, _, v = torch.linalg.svd(x, full_matrices=False)
    v = v[:, :k]  # [B, k, C]
    largest = v.gather(2, v.abs().argmax(dim=2, keepdim=True))
    v = v * torch.where(largest < 0, -1.0, 1.0)
    components_of: Tensor = (x @ v.transpose(1, 2)).transpose(1, 2)
    return components_of.reshape(batch, k, height, width)


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
    live = live_maps(maps)
    for image in range(images):
        alive = live[image].nonzero().squeeze(1)
        if len(alive) == 0:
            continue
        masks = scaled_masks(maps[image, alive].detach().float().unsqueeze(1), (height, width))
        scaled = masks.flatten(1).double().cpu().numpy()
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
