"""The mask engine: embed an image under many masks. VL-Score, Score-CAM and RISE all use it.

A masked image's embedding does not depend on the text, so one call serves any number of texts. Masks are upsampled,
scaled, multiplied and embedded chunk by chunk on the encoder's device; nothing is ever materialised for all masks
at once, so that the memory needed is that of one chunk.

That is the definition. Many encoders can apply the masks where they pool instead (:class:`xtool.plugin.PoolsMasks`):
one pass for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.engine.guard import all_finite
from xtool.engine.masked_embeddings import NOT_FINITE, MaskedEmbeddings
from xtool.engine.masked_pool import embed_pooled
from xtool.engine.masks import distinct_masks, finite, live_maps, scaled_masks, upsampled
from xtool.engine.work import shared
from xtool.errors import UsageError

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder

__all__ = ["Base", "MaskAt", "base_image", "embed_masked"]

Base = Literal["zero", "mean", "blur"]
MaskAt = Literal["pixels", "pool"]

CHUNK = {"cpu": 16, "cuda": 256, "mps": 64}


def embed_masked(
    encoder: Encoder,
    pixels: Tensor,
    maps: Tensor,
    *,
    at: MaskAt = "pixels",
    base: Base = "zero",
    align_corners: bool = True,
    scale: bool = True,
    batch: int | None = None,
    wanted: Tensor | None = None,
    known_base: Tensor | None = None,
) -> MaskedEmbeddings:
    """Embed ``mask · image + (1 − mask) · base`` for every mask.

    With ``at="pool"`` embed the image pooled under every mask instead, all in one pass. The masks are then the maps,
    scaled but not upsampled; ``base``, ``align_corners`` and ``batch`` have no effect.

    Args:
        encoder: embeds the masked images, in its own dtype.
        pixels: [B, 3, H, W] float32, normalised, on the encoder's device.
        at: where the masks act: on the ``pixels``, or at the ``pool`` of an encoder whose info says ``pools_masks``.
        maps: [B, C, h, w] low-resolution maps, upsampled bilinearly to H×W. Maps of size H×W are taken as they are.
        base: what a masked-out pixel becomes: ``zero`` in normalised space (the training data's mean colour),
            ``mean`` (this image's mean colour) or ``blur`` (this image, strongly blurred).
        align_corners: of the upsampling; VL-Score's code and pytorch-grad-cam use ``True``.
        scale: min–max scale each upsampled map to [0, 1]; without it the maps must lie in [0, 1] already.
        batch: masked images per forward pass; by default chosen for the device. Halved when memory runs out.
        wanted: [B, C] bool, the maps to embed under; no pass is spent on the others.
        known_base: [B, D] base embeddings of the same pixels from an earlier call, which saves their pass.
    """
    if maps.ndim != 4 or pixels.ndim != 4 or len(maps) != len(pixels):
        raise UsageError(f"masks need pixels [B, 3, H, W] and maps [B, C, h, w]; got {pixels.shape} and {maps.shape}")
    if batch is not None and batch < 1:
        raise UsageError(f"batch must be at least 1, not {batch}")
    if at == "pool":
        pooled = shared(
            ("pooled", scale), (encoder.visual, pixels, maps), lambda: embed_pooled(encoder, pixels, maps, scale)
        )
        return pooled if wanted is None else pooled.only(wanted)
    return shared(
        ("masked", base, align_corners, scale),
        (encoder.visual, pixels, maps, wanted, known_base),
        lambda: _embed_masked(encoder, pixels, maps, base, align_corners, scale, batch, wanted, known_base),
    )


def base_image(pixels: Tensor, base: Base) -> Tensor:
    """What masked-out pixels show: [B, 3, H, W] for normalised ``pixels`` of the same shape."""
    if base == "zero":
        return torch.zeros_like(pixels)
    if base == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    if base == "blur":
        # Pool to an 8×8 grid and back: a blur far wider than any part that a text could name.
        return F.interpolate(F.adaptive_avg_pool2d(pixels, 8), pixels.shape[-2:], mode="bilinear", align_corners=False)
    raise UsageError(f"base must be zero, mean or blur, not {base!r}")


def _embed_masked(
    encoder: Encoder,
    pixels: Tensor,
    maps: Tensor,
    base: Base,
    align_corners: bool,
    scale: bool,
    batch: int | None,
    wanted: Tensor | None,
    known_base: Tensor | None,
) -> MaskedEmbeddings:
    images, channels = maps.shape[:2]
    with torch.inference_mode():
        pixels, maps = pixels.detach(), finite(maps.detach().float())
        background = base_image(pixels, base)
        live = live_maps(maps) if scale else torch.ones(images, channels, dtype=torch.bool, device=maps.device)
        alive = live if wanted is None else live & wanted
        base_embedding = encoder.encode_image(background).float() if known_base is None else known_base
        chunk = batch or CHUNK.get(pixels.device.type, 32)
        which, same_as = distinct_masks(maps, live, alive) if scale else (alive.nonzero(), None)
        found = base_embedding.new_empty(len(which), base_embedding.shape[1])
        done = 0
        while done < len(which):
            image, channel = which[done : done + chunk].unbind(1)
            low = maps[image, channel].unsqueeze(1)
            try:
                masked = _masked(pixels, background, low, image, base, align_corners, scale)
                found[done : done + len(image)] = encoder.encode_image(masked).float()
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
                continue
            done += len(image)
        if not (all_finite(found) and all_finite(base_embedding)):
            raise UsageError(NOT_FINITE)
        embeddings = base_embedding[:, None].expand(images, channels, -1).clone()
        embeddings[alive] = found if same_as is None else found[same_as]
    # Clones made outside inference mode can be saved for backward by a caller that differentiates.
    return MaskedEmbeddings(embeddings.clone(), base_embedding.clone(), alive.clone())


def _masked(
    pixels: Tensor, background: Tensor, low: Tensor, image: Tensor, base: Base, align_corners: bool, scale: bool
) -> Tensor:
    """Masked images [N, 3, H, W] of the maps ``low`` [N, 1, h, w], each of the image that ``image`` [N] says.

    A function of its own so that the masks are gone when the encoder, which needs the most memory, runs.
    """
    size = (pixels.shape[-2], pixels.shape[-1])
    masks = (scaled_masks if scale else upsampled)(low, size, align_corners=align_corners)
    if len(pixels) > 1:  # one image is broadcast, not copied for each mask
        pixels, background = pixels[image], background[image]
    return pixels * masks if base == "zero" else torch.lerp(background, pixels, masks)
