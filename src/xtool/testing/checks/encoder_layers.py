"""Checks of how an encoder describes its layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.contracts.layers import Layer
from xtool.contracts.protocols import Encoder
from xtool.engine.layers import read_heads, read_maps
from xtool.errors import XtoolError
from xtool.testing.checks.encoder_subject import EncoderSubject
from xtool.testing.compare_maps import same
from xtool.testing.snapshot import Snapshot
from xtool.testing.verdict import CheckFailed, NotApplicable, require

CORNERS = ((0.25, 0.125), (0.875, 0.25), (0.375, 0.875))
"""Places (x, y), as fractions of the image's sides; no transpose or flip maps each of them to itself."""
ROOM = 0.25
"""How far from there maps may change most, as a fraction: deep layers see far, and with random weights anywhere."""


def layers_read_back(subject: EncoderSubject) -> None:
    """Each layer that it names gives maps [B, C, h, w] that lie as the image does, and leaves no hook."""
    encoder, info = subject.encoder, subject.encoder.info
    pixels = torch.zeros(1, 3, *info.input_size)
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    before = Snapshot(encoder.visual)
    for name in dict.fromkeys([*info.layers, info.gradient_layer or info.default_layer]):
        layer = encoder.layer(name)
        empty = _layer_maps(encoder, pixels, layer)
        for place in CORNERS:
            marked = _marked(pixels, noise, place)
            told = _displaced((_layer_maps(encoder, marked, layer) - empty)[0], place)
            require(not told, f"layer {name}: {told}")
    require(encoder.layer("auto").name == info.default_layer, "layer('auto') is not the default layer")
    changed = before.differences(Snapshot(encoder.visual))
    require(not changed, f"reading a layer changes, and does not restore: {', '.join(changed)}")


def unknown_layers_are_refused(subject: EncoderSubject) -> None:
    """A layer that does not exist is refused with an XtoolError."""
    try:
        subject.encoder.layer("no.such.layer")
    except XtoolError:
        return
    except Exception as error:
        raise CheckFailed(f"it ends in {type(error).__name__}: {error}; raise an xtool.errors.UsageError") from error
    require(False, "the layer no.such.layer was accepted")


def transformer_parts_add_up(subject: EncoderSubject) -> None:
    """The parts of a transformer block that it describes give the block's output, and the pooling the embedding."""
    encoder = subject.encoder
    layer, pixels = encoder.layer(encoder.info.layers[-1]), subject.pixels(1)
    try:
        block, pooling = layer.block, layer.pooling
    except XtoolError as error:
        raise NotApplicable(str(error)) from error
    seen: list[tuple[Tensor, Tensor]] = []
    handle = block.module.register_forward_hook(lambda _module, given, output: seen.append((given[0], output)))
    try:
        with torch.no_grad():
            heads, embedding = read_heads(encoder, pixels, layer)
    finally:
        handle.remove()
    given, output = (block.grid.ordered(tokens) for tokens in seen[0])
    with torch.no_grad():
        attention = block.attention
        attended = attention.merge(attention.weights(heads) @ heads.values, heads)
        between = given + block.residual(attended)
        require(same(block.norm(given), heads.tokens), "norm does not give what goes into the attention")
        require(same(between + block.feed_forward(between), output), "the parts of the last block are not the block")
        require(
            same(F.normalize(pooling.embed(output), dim=1), embedding), "pooling the last tokens is not the embedding"
        )
        shares = pooling.shares(output)
        require(
            same(F.normalize(pooling.embed_shared(output, shares), dim=1), embedding),
            "pooling the last tokens by their shares is not the embedding",
        )
        shares = shares.sum(dim=2)
    require(same(shares, torch.ones_like(shares)), "the shares of the tokens do not sum to 1")


LAYER_CHECKS = (layers_read_back, unknown_layers_are_refused, transformer_parts_add_up)


def _layer_maps(encoder: Encoder, pixels: Tensor, layer: Layer) -> Tensor:
    with torch.no_grad():
        maps = read_maps(encoder, pixels, layer).maps.float()
    require(maps.ndim == 4 and len(maps) == len(pixels), f"layer {layer.name} gives {list(maps.shape)}, not maps")
    return maps


def _marked(pixels: Tensor, noise: Tensor, place: tuple[float, float]) -> Tensor:
    """The pixels with noise in a rectangle, a quarter of the image's height and width, around ``place``."""
    marked, (height, width) = pixels.clone(), pixels.shape[-2:]
    rows = slice(int((place[1] - 0.125) * height), int((place[1] + 0.125) * height))
    columns = slice(int((place[0] - 0.125) * width), int((place[0] + 0.125) * width))
    marked[:, :, rows, columns] = noise[:, :, rows, columns]
    return marked


def _displaced(change: Tensor, place: tuple[float, float]) -> str:
    """What is wrong with where maps [C, h, w] change most; empty if nothing is, or the maps are too small to tell."""
    height, width = change.shape[1:]
    if min(height, width) < 4:
        return ""
    energy = change.square().sum(dim=0)
    energy = (energy - energy.median()).clamp(min=0)
    if not bool(energy.any()):
        return "it does not change with the image"
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = (float((energy * at).sum() / energy.sum() / size) for at, size in ((columns, width), (rows, height)))
    off = max(abs(x - place[0]), abs(y - place[1]))
    where = f"noise at (x, y) = {place} of the image changes its maps [h, w] = {[height, width]} at ({x:.2f}, {y:.2f})"
    return where if off > ROOM else ""
