"""Masks at the pool: all masks of an image cost one pass, and then only what pooling itself does."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from xtool.engine.guard import all_finite
from xtool.engine.layers import AUTO, cut_of, cut_pass
from xtool.engine.masked_embeddings import NOT_FINITE, MaskedEmbeddings
from xtool.engine.masks import finite, live_maps, resized_masks, scaled_masks
from xtool.engine.work import TOWER, part
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.layers import Cut
    from xtool.contracts.protocols import Encoder, PoolsMasks

__all__ = ["embed_pooled"]


def embed_pooled(encoder: Encoder, pixels: Tensor, maps: Tensor, scale: bool) -> MaskedEmbeddings:
    if not encoder.info.pools_masks:
        raise UsageError(f"{encoder.info.name} cannot pool under a mask; mask the pixels")
    images, channels, height, width = maps.shape
    with torch.inference_mode(False), torch.no_grad():
        masks = finite(maps.detach().float())
        alive = live_maps(masks) if scale else torch.ones(images, channels, dtype=torch.bool, device=maps.device)
        if scale:
            masks = scaled_masks(masks.reshape(-1, 1, height, width), (height, width)).reshape(maps.shape)
        layer = encoder.layer(AUTO)
        cut = cut_of(encoder, layer)
        if cut is None or cut.pooled is None:
            found = _pooled_whole(encoder, pixels, masks, alive)
        else:
            output = cut_pass(encoder, pixels, layer, cut).output
            if cut.cosines is not None:
                return _scored(cut, output, masks, alive)
            found = _pooled(cut, output, masks, alive)
    if not all_finite(found):
        raise UsageError(NOT_FINITE)
    return MaskedEmbeddings(found[:, 1:], found[:, 0], alive)


def _pooled_whole(encoder: Encoder, pixels: Tensor, masks: Tensor, alive: Tensor) -> Tensor:
    """[B, 1 + C, D] float32 of a pass of its own: under no mask's cells, then under each mask that is ``alive``."""
    found = cast("PoolsMasks", encoder).encode_pooled(pixels, _with_nothing(masks)).float()
    base = found[:, :1]
    return torch.cat([base, torch.where(alive[:, :, None], found[:, 1:], base)], dim=1)


def _pooled(cut: Cut, output: Tensor, masks: Tensor, alive: Tensor) -> Tensor:
    """The same, going on from the pass that gave the features. Image by image, so that what is computed for thousands
    of masks stays small."""
    assert cut.pooled is not None
    rows = []
    with part(TOWER):
        for image, own in enumerate(alive):
            some = cut.pooled(output[image : image + 1], _with_nothing(masks[image : image + 1, own]))[0].float()
            found = some[:1].expand(1 + len(own), -1).clone()
            found[1:][own] = some[1:]
            rows.append(found)
    return torch.stack(rows)


def _scored(cut: Cut, output: Tensor, masks: Tensor, alive: Tensor) -> MaskedEmbeddings:
    """The same without the embeddings, for an encoder that can."""
    assert cut.cosines is not None
    with part(TOWER):
        cells = resized_masks(masks, (output.shape[-2], output.shape[-1]))
        found = cut.cosines(output, [some[own] for some, own in zip(cells, alive, strict=True)])
    base = torch.stack([nothing for nothing, _ in found])

    def embeddings() -> Tensor:
        with torch.inference_mode(False), torch.no_grad():
            return _pooled(cut, output, masks, alive)[:, 1:]

    return MaskedEmbeddings(embeddings, base, alive, [cosines for _, cosines in found])


def _with_nothing(masks: Tensor) -> Tensor:
    """Masks [B, N, h, w] behind one of zeros: [B, 1 + N, h, w]."""
    return torch.cat([masks.new_zeros(len(masks), 1, *masks.shape[2:]), masks], dim=1)
