"""What an encoder says about a layer of its image tower: which module, how its output lies over the image, its parts.

An encoder describes its layers in :meth:`xtool.plugin.Encoder.layer`; feature extractors and methods read them through
these classes only, so that none of them knows how a model's code is written. Importing this module imports no torch.

Notation for shapes: B images, C channels, h×w positions, n tokens (prefix tokens, then h·w patches row by row), d the
width of a head, D the width of the embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from xtool.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Block", "Cut", "Heads", "Layer", "Layout", "Pooling", "SelfAttention", "SpatialMaps", "TokenGrid"]


class Layout(Protocol):
    """How a module's output, or a gradient of its shape, lies over the image.

    Each method raises :class:`ValueError` for a tensor of another shape.
    """

    def maps(self, output: Tensor) -> Tensor:
        """As maps [B, C, h, w]: row 0 is the top; tokens without a position are left out."""
        ...

    def restored(self, maps: Tensor, output: Tensor) -> Tensor:
        """``output`` with ``maps`` [B, C, h, w] at its positions, differentiable in both: the inverse of ``maps``."""
        ...

    def prefix(self, output: Tensor) -> Tensor:
        """[B, k, C]: the k tokens without a position (class token, registers); k may be 0."""
        ...

    def channels(self, output: Tensor) -> Tensor:
        """A view [B, C, positions and prefix tokens] of ``output`` that can be written to."""
        ...


@dataclass(frozen=True, slots=True)
class SpatialMaps:
    """The output consists of maps already: [B, C, h, w], or [B, h, w, C]."""

    channels_last: bool = False

    def maps(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.maps`."""
        if output.ndim != 4:
            raise ValueError("which are not spatial maps")
        return output.permute(0, 3, 1, 2) if self.channels_last else output

    def restored(self, maps: Tensor, output: Tensor) -> Tensor:
        """See :meth:`Layout.restored`."""
        return maps.permute(0, 2, 3, 1) if self.channels_last else maps

    def prefix(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.prefix`. There are none."""
        maps = self.maps(output)
        return maps.new_zeros(len(maps), 0, maps.shape[1])

    def channels(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.channels`."""
        maps = self.maps(output)
        return maps.view(*maps.shape[:2], -1)  # a flatten could be a copy


@dataclass(frozen=True, slots=True)
class TokenGrid:
    """The output consists of tokens [B, n, C], or [n, B, C]: some prefix tokens, then the patches row by row."""

    height: int
    """Patches from top to bottom."""
    width: int
    prefix_tokens: int
    """Tokens before the patches (class token, registers)."""
    batch_first: bool = True

    @property
    def tokens(self) -> int:
        """All tokens of an image."""
        return self.prefix_tokens + self.height * self.width

    def ordered(self, output: Tensor) -> Tensor:
        """The output as [B, n, C]."""
        tokens = output if self.batch_first or output.ndim != 3 else output.transpose(0, 1)
        if tokens.ndim != 3 or tokens.shape[1] != self.tokens:
            raise ValueError(
                f"where {self.height}×{self.width} patch tokens after {self.prefix_tokens} others are expected; "
                "is patch dropout on, or the image of another size?"
            )
        return tokens

    def maps(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.maps`."""
        patches = self.ordered(output)[:, self.prefix_tokens :]
        # The grid's width varies fastest; on a square grid a mistake here would not show.
        return patches.transpose(1, 2).reshape(len(patches), -1, self.height, self.width)

    def restored(self, maps: Tensor, output: Tensor) -> Tensor:
        """See :meth:`Layout.restored`."""
        tokens = self.ordered(output).clone()
        tokens[:, self.prefix_tokens :] = maps.flatten(2).transpose(1, 2)
        return tokens if self.batch_first else tokens.transpose(0, 1)

    def prefix(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.prefix`."""
        return self.ordered(output)[:, : self.prefix_tokens]

    def channels(self, output: Tensor) -> Tensor:
        """See :meth:`Layout.channels`."""
        return self.ordered(output).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Heads:
    """What the heads of one attention layer work with."""

    tokens: Tensor
    """[B, n, width]: what went into the layer."""
    queries: Tensor
    """[B, heads, n, d], as they are multiplied with the keys: after per-head norms and after a rotation by position."""
    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class SelfAttention:
    """The attention of a block, taken apart: ``merge(softmax(scale · q kᵀ) v)`` is the output of ``module``."""

    module: nn.Module
    scale: float
    """Factor on the products of queries and keys."""
    arguments: Callable[..., tuple[Tensor, Tensor | None]]
    """The arguments that ``module`` is called with, which a hook sees, as tokens [B, n, width] and, in a layer that
    rotates queries and keys by position, the rotation."""
    project: Callable[[Tensor, Tensor | None], Heads]
    """Tokens and rotation to queries, keys and values; without a rotation they are not rotated."""
    merge: Callable[[Tensor, Heads], Tensor]
    """The heads' outputs [B, heads, n, d] to tokens [B, n, width]: inner norm, gate, output projection."""

    def weights(self, heads: Heads) -> Tensor:
        """How much each token attends to each other token: [B, heads, n, n]; rows sum to 1."""
        return (heads.queries @ heads.keys.transpose(-2, -1) * self.scale).softmax(dim=-1)


@dataclass(frozen=True, slots=True)
class Block:
    """A transformer block over tokens x [B, n, width], taken apart.

    Its output is ``y + feed_forward(y)`` with ``y = x + residual(attention(norm(x)))``.
    """

    module: nn.Module
    grid: TokenGrid
    norm: Callable[[Tensor], Tensor]
    """Before the attention; the identity in a block that norms afterwards."""
    attention: SelfAttention
    residual: Callable[[Tensor], Tensor]
    """Between the attention and the sum: layer scale, or the norm of a block that norms afterwards."""
    feed_forward: Callable[[Tensor], Tensor]
    """The second branch with its norm and scale."""

    def heads(self, tokens: Tensor, rotation: Tensor | None = None) -> Heads:
        """Queries, keys and values of tokens [B, n, width] that come into the block."""
        return self.attention.project(self.norm(tokens), rotation)

    def output(self, tokens: Tensor, heads: Heads, attended: Tensor) -> Tensor:
        """What the block makes of tokens [B, n, width] with the heads' outputs ``attended`` [B, heads, n, d].

        With ``attended = attention.weights(heads) @ heads.values`` it is what the model itself computes.
        """
        between = tokens + self.residual(self.attention.merge(attended, heads))
        return between + self.feed_forward(between)


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the tokens after the last block become one embedding."""

    kind: Literal["class token", "mean", "attention"]
    embed: Callable[[Tensor], Tensor]
    """Tokens after the last block [B, n, width] to the embedding [B, D], not normalised."""
    embed_each: Callable[[Tensor], Tensor]
    """[B, n, width] to [B, n, D]: each token projected as the pooled token is, as if it were the only token to pool."""
    shares: Callable[[Tensor], Tensor]
    """[B, n, width] to [B, heads, n]: the share of each token in what is pooled; sums to 1. One head if the pooling
    is not an attention."""
    embed_shared: Callable[[Tensor, Tensor], Tensor]
    """Tokens [B, n, width] and shares [B, heads, n] to the embedding [B, D] that pooling by these shares gives,
    differentiable in both; with ``shares(tokens)`` it is ``embed(tokens)``."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An image tower in two parts, before and after a layer, for passes that need no gradient before it."""

    encoder: object
    """Whose ``encode_image`` the two parts are. One that wraps it, with an ``encode_image`` of its own, is not cut."""
    before: Callable[[Tensor], Tensor]
    """Pixels [B, 3, H, W] to the layer's output, up to rounding, by the fastest way there is. Not differentiable."""
    after: Callable[[Tensor], Tensor]
    """The layer's output, or another of its shape, to unit embeddings [B, D] float32; differentiable."""
    pooled: Callable[[Tensor, Tensor], Tensor] | None = None
    """Of a layer that is pooled: its output and masks [B, N, ·, ·] in [0, 1] to unit embeddings [B, N, D], as
    :meth:`xtool.plugin.PoolsMasks.encode_pooled` gives them."""
    cosines: Callable[[Tensor, Sequence[Tensor]], Sequence[tuple[Tensor, Callable[[Tensor], Tensor]]]] | None = None
    """The same by a way that makes no embeddings and so takes less: the layer's output and each image's masks
    [N, h, w], of the output's size, to each image's embedding [D] of nothing pooled and to what gives its N cosines
    with a unit text [D]."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image tower."""

    name: str
    module: nn.Module
    """The module whose output is the layer; it runs once in a pass."""
    layout: Layout
    read_block: Callable[[], Block] | None = None
    """Returns :attr:`block`, or raises :class:`xtool.plugin.UsageError` that says why not."""
    read_pooling: Callable[[], Pooling] | None = None
    """The same for :attr:`pooling`."""
    cut: Cut | None = None
    """A way to run the tower in two parts; ``None`` where there is none that is faster than to run it whole, or just
    now, as somebody's hooks must see it run."""

    def maps(self, output: Any) -> Tensor:
        """The output, or a gradient of its shape, as maps [B, C, h, w]. Raises :class:`xtool.plugin.UsageError`."""
        return self._read(self.layout.maps, output)

    def restored(self, maps: Tensor, output: Tensor) -> Tensor:
        """``output`` with ``maps`` [B, C, h, w] at its positions, differentiable in both."""
        return self.layout.restored(maps, output)

    def prefix(self, output: Any) -> Tensor:
        """[B, k, C]: the k tokens without a position in the image; k may be 0."""
        return self._read(self.layout.prefix, output)

    def channels(self, output: Any) -> Tensor:
        """A view [B, C, positions and prefix tokens] of the output that can be written to."""
        return self._read(self.layout.channels, output)

    @property
    def block(self) -> Block:
        """The transformer block of this layer. Raises :class:`xtool.plugin.UsageError` if there is none."""
        if self.read_block is None:
            raise UsageError(f"layer {self.name} is not a transformer block, and has no queries, keys and values")
        return self.read_block()

    @property
    def pooling(self) -> Pooling:
        """How the tower pools its tokens. Raises :class:`xtool.plugin.UsageError` where it has none."""
        if self.read_pooling is None:
            raise UsageError(f"layer {self.name} does not belong to a transformer that pools tokens")
        return self.read_pooling()

    def _read(self, read: Callable[[Tensor], Tensor], output: Any) -> Tensor:
        if not hasattr(output, "ndim"):
            raise UsageError(f"layer {self.name} gives a {type(output).__name__}, not a tensor")
        try:
            return read(output)
        except ValueError as error:
            raise UsageError(f"layer {self.name} gives {list(output.shape)}, {error}") from error
