"""Which layer a feature extractor reads, and what it refuses."""

from __future__ import annotations

from difflib import get_close_matches

from torch import Tensor

from xtool.plugin import Architecture, Encoder, UsageError


def layer_index(encoder: Encoder, layer: str | None, *, features: str, architecture: Architecture) -> int:
    """The place of ``layer`` (``None``: the encoder's default) in ``encoder.info.layers``.

    Raises :class:`xtool.plugin.UsageError` for an encoder of another architecture or without such a layer.
    """
    info = encoder.info
    if info.architecture != architecture:
        other = "spatial" if info.architecture == "cnn" else "tokens, attention, queries, keys or values"
        raise UsageError(
            f"features {features!r} need a {architecture} encoder, and {info.name} is a {info.architecture}; "
            f"try {other}"
        )
    layer = info.default_layer if layer is None else layer
    if layer in info.layers:
        return info.layers.index(layer)
    close = get_close_matches(layer, info.layers, n=1)
    hint = f"did you mean {close[0]!r}? It has " if close else "it has "
    raise UsageError(f"{info.name} has no layer {layer!r}; {hint}{', '.join(info.layers)}")


def check_pixels(encoder: Encoder, pixels: Tensor) -> None:
    """Refuse pixels of another size than the model's: the positions that it has learnt would not fit."""
    expected = (3, *encoder.info.input_size)
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != expected:
        wanted = ", ".join(map(str, expected))
        raise ValueError(f"{encoder.info.name} takes pixels [B, {wanted}], not {list(pixels.shape)}")
