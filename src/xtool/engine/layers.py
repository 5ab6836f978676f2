"""Reading the layers that an encoder describes: find one by name, see its output, take maps or heads from one pass."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtool.contracts.layers import Cut, Heads, Layer
from xtool.contracts.protocols import FeatureMaps
from xtool.engine.encoders import CountedEncoder, exclusive
from xtool.engine.guard import checked_embeddings
from xtool.engine.transformer import TokenStream, read_stream, transformer_parts
from xtool.engine.work import shared, tower_pass
from xtool.errors import UsageError
from xtool.loading.inference import watched

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xtool.contracts.protocols import Encoder, EncoderInfo

AUTO = "auto"


def layer_name(info: EncoderInfo, name: str, also: Sequence[str] = ()) -> str:
    """The layer meant by ``name``: ``auto`` is the encoder's default.

    Args:
        info: of the encoder.
        name: what was asked for.
        also: layers that can be read in addition to those of ``info.layers``.

    Raises:
        UsageError: there is no such layer; names the nearest.
    """
    if name == AUTO:
        return info.default_layer
    known = [*info.layers, *also]
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? It has" if near else "it has"
    raise UsageError(f"{info.name} has no layer {name!r}; {hint}: {', '.join(info.layers)}")


def gradient_layer(encoder: Encoder, name: str = AUTO) -> Layer:
    """The layer ``name``, where ``auto`` is the one that suits gradient methods. Raises as ``Encoder.layer``."""
    info = encoder.info
    return encoder.layer(info.gradient_layer or info.default_layer if name == AUTO else name)


@contextmanager
def hooked(module: nn.Module, see: Callable[[Any], Any]) -> Iterator[None]:
    """Inside the block, ``see(output)`` is called on each output of ``module``; what it returns, if not ``None``,
    replaces the output. The hook is removed when the block ends, however it ends."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: see(output))
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True, slots=True)
class CutPass:
    """A pass through a tower in two parts (:class:`xtool.plugin.Cut`)."""

    output: Tensor
    """Of the layer, without gradient."""
    embedding: Tensor
    """[B, D] unit vectors, float32, without gradient."""


def cut_of(encoder: Encoder, layer: Layer) -> Cut | None:
    """How the encoder's tower can be run in two parts at a layer; ``None`` where it cannot."""
    own = encoder._encoder if isinstance(encoder, CountedEncoder) else encoder
    return layer.cut if layer.cut is not None and layer.cut.encoder is own else None


def cut_pass(encoder: Encoder, pixels: Tensor, layer: Layer, cut: Cut) -> CutPass:
    """Run the tower on pixels [B, 3, H, W] up to a layer, and on. All who explain the very same pixels share it."""
    import torch

    def run() -> CutPass:
        info = encoder.info
        culprit = f"encoder {info.name} ({info.weights})"
        # Not under inference mode, whose tensors nobody could differentiate with respect to later.
        with exclusive(encoder), tower_pass(len(pixels)), torch.inference_mode(False), torch.no_grad():
            output = cut.before(pixels)
            found = checked_embeddings(cut.after(output), culprit, "an image embedding", len(pixels), info.embed_dim)
        return CutPass(output, found)

    return shared(("cut", layer.name), (encoder.visual, pixels), run)


def read_maps(encoder: Encoder, pixels: Tensor, layer: Layer) -> FeatureMaps:
    """Maps of a layer and the image embedding, from one pass over pixels [B, 3, H, W].

    Raises:
        UsageError: the layer's output is not what the encoder says that it is.
    """
    import torch

    if not torch.is_grad_enabled():
        cut = cut_of(encoder, layer)
        if cut is not None:
            found = cut_pass(encoder, pixels, layer, cut)
            return FeatureMaps(layer.maps(found.output).float(), found.embedding)
        found_in = _stream_of(encoder, pixels, layer)
        if found_in is not None:
            stream, block = found_in
            return FeatureMaps(stream.maps(block), stream.embedding)
    outputs: list[Any] = []
    with hooked(layer.module, outputs.append):
        embedding = encoder.encode_image(pixels)
    maps = layer.maps(_only(outputs, layer.name))
    # A cast would be a copy that the embedding does not depend on, and no gradient would reach it.
    return FeatureMaps(maps if maps.requires_grad else maps.float(), embedding)


def read_heads(encoder: Encoder, pixels: Tensor, layer: Layer) -> tuple[Heads, Tensor]:
    """Queries, keys and values of a layer's block, and the image embedding [B, D], from one pass.

    The fused attention that models run keeps none of them, so they are computed again, from what went into the
    attention layer. This costs one linear layer, not a second pass.

    Raises:
        UsageError: the layer is not a block of a transformer whose attention the encoder can read.
    """
    import torch

    attention = layer.block.attention
    found_in = None if torch.is_grad_enabled() else _stream_of(encoder, pixels, layer)
    if found_in is not None:
        stream, block = found_in
        return stream.heads(block), stream.embedding
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    handle = attention.module.register_forward_pre_hook(
        lambda _module, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    try:
        embedding = encoder.encode_image(pixels)
    finally:
        handle.remove()
    args, kwargs = _only(calls, f"the attention of {layer.name}")
    return attention.project(*attention.arguments(*args, **kwargs)), embedding


def _stream_of(encoder: Encoder, pixels: Tensor, layer: Layer) -> tuple[TokenStream, int] | None:
    """The stream of a transformer's tokens and which of its blocks a layer is; one pass then serves all who read one.

    ``None`` where the transformer cannot be taken apart, and where somebody's own hooks must see this pass.
    """
    if encoder.info.architecture != "vit" or layer.name not in encoder.info.layers or watched(encoder.visual):
        return None
    index = encoder.info.layers.index(layer.name)
    try:
        if transformer_parts(encoder)[0][index].module is not layer.module:
            return None
        return read_stream(encoder, pixels), index
    except UsageError:
        return None


class LayerFeatures:
    """The feature extractor for any layer that an encoder describes.

    Args:
        layer: a name from ``encoder.info.layers``; ``None`` for the encoder's default.
    """

    def __init__(self, layer: str | None = None) -> None:
        self.layer = layer

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """See :meth:`xtool.plugin.FeatureExtractor.extract`."""
        return read_maps(encoder, pixels, encoder.layer(AUTO if self.layer is None else self.layer))


def _only(seen: list[Any], what: str) -> Any:
    if len(seen) != 1:
        raise UsageError(f"{what} ran {len(seen)} times in one pass; expected once")
    return seen[0]
