"""A vision transformer taken apart: the tokens between its blocks in one pass, and its blocks to be run again.

Methods that look into the attention work on a :class:`TokenStream`: they put other attention in a block's place, or
differentiate with respect to it, and never know whose transformer it is.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtool.contracts.layers import Block, Heads, Pooling, TokenGrid
from xtool.engine.encoders import counted, exclusive
from xtool.engine.work import shared
from xtool.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.protocols import Encoder

__all__ = ["TokenStream", "read_stream", "transformer_parts"]


@dataclass(frozen=True, slots=True)
class TokenStream:
    """The tokens of B images on their way through a transformer of L blocks, and the parts of the transformer."""

    blocks: tuple[Block, ...]
    """From input to output."""
    pooling: Pooling
    tokens: tuple[Tensor, ...]
    """L + 1 times [B, n, width], without gradient: ``tokens[k]`` went into ``blocks[k]``, the last came out."""
    rotations: tuple[Tensor | None, ...]
    """By which each block rotates its queries and keys."""
    embedding: Tensor
    """[B, D] unit vectors: ``encode_image`` of the same pixels, from the same pass."""

    @property
    def grid(self) -> TokenGrid:
        """How the tokens lie over the image."""
        return self.blocks[-1].grid

    def heads(self, block: int, tokens: Tensor | None = None) -> Heads:
        """Queries, keys and values of a block (negative counts from the end), for the tokens that went into it or for
        others of that shape."""
        return self.blocks[block].heads(self.into(block) if tokens is None else tokens, self.rotations[block])

    def into(self, block: int) -> Tensor:
        """The tokens [B, n, width] that went into a block; negative counts from the end."""
        return self.tokens[range(len(self.blocks))[block]]

    def attention(self, block: int) -> Tensor:
        """[B, heads, n, n]: how much each token attended to each other one in a block; rows sum to 1."""
        return self.blocks[block].attention.weights(self.heads(block))

    def maps(self, block: int) -> Tensor:
        """The patches that came out of a block as maps [B, width, h, w]."""
        return self.patches(self.tokens[range(len(self.blocks))[block] + 1].transpose(1, 2))

    def patches(self, values: Tensor) -> Tensor:
        """Values [B, ..., n] of all tokens as maps [B, ..., h, w] of the patches."""
        patches = values[..., self.grid.prefix_tokens :]
        return patches.reshape(*patches.shape[:-1], self.grid.height, self.grid.width)


def transformer_parts(encoder: Encoder) -> tuple[tuple[Block, ...], Pooling]:
    """The blocks of an image tower, from input to output, and how it pools their tokens.

    Raises:
        UsageError: the encoder is not a transformer whose blocks and pooling it can describe.
    """
    info = encoder.info
    if info.architecture != "vit":
        raise UsageError(f"{info.name} is a {info.architecture}, which has no transformer blocks to look into")
    layers = [encoder.layer(name) for name in info.layers]
    return tuple(layer.block for layer in layers), layers[-1].pooling


def read_stream(encoder: Encoder, pixels: Tensor) -> TokenStream:
    """Run the image tower once on pixels [B, 3, H, W], without gradient, and keep what went through its blocks.

    Within one image all methods share the pass.

    Raises :class:`xtool.plugin.UsageError` as :func:`transformer_parts` does.
    """
    return shared(("token stream",), (encoder.visual, pixels), lambda: _read(encoder, pixels))


def _read(encoder: Encoder, pixels: Tensor) -> TokenStream:
    import torch

    blocks, pooling = transformer_parts(encoder)
    given: list[list[Tensor]] = [[] for _ in blocks]
    left: list[list[Tensor]] = [[] for _ in blocks]
    rotations: list[list[Tensor | None]] = [[] for _ in blocks]

    def read_into(index: int) -> Any:
        return lambda _module, args, _kwargs: given[index].append(blocks[index].grid.ordered(args[0]))

    def read_out_of(index: int) -> Any:
        return lambda _module, _args, output: left[index].append(blocks[index].grid.ordered(output))

    def read_rotation(index: int) -> Any:
        arguments = blocks[index].attention.arguments
        return lambda _module, args, kwargs: rotations[index].append(arguments(*args, **kwargs)[1])

    # Tensors of inference mode could not be used for gradients afterwards.
    with torch.inference_mode(False), torch.no_grad(), exclusive(encoder):
        with ExitStack() as hooks:
            for index, block in enumerate(blocks):
                for module, see in ((block.module, read_into(index)), (block.attention.module, read_rotation(index))):
                    hooks.callback(module.register_forward_pre_hook(see, with_kwargs=True).remove)
                hooks.callback(block.module.register_forward_hook(read_out_of(index)).remove)
            # Also where an encoder reads its own tokens: the pass is counted, checked and made in its dtype.
            embedding = counted(encoder).encode_image(pixels)
        info = encoder.info
        for name, seen in zip(info.layers, given, strict=True):
            if len(seen) != 1:
                raise UsageError(f"{name} of {info.name} ran {len(seen)} times in one pass; expected once")
        for name, out, into in zip(info.layers[1:], left[:-1], given[1:], strict=True):
            if not _same(out[0], into[0]):
                raise UsageError(
                    f"what comes into {name} of {info.name} is not what came out of the layer before it; a transformer "
                    "can be taken apart only if its layers are all of its blocks, with nothing between them"
                )
        tokens = tuple(part[0].detach().float() for part in (*given, left[-1]))
    return TokenStream(blocks, pooling, tokens, tuple(seen[0] for seen in rotations), embedding)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and (
        one.data_ptr() == other.data_ptr() or bool((one.nan_to_num() == other.nan_to_num()).all())
    )
