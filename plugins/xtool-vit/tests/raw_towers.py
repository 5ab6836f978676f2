"""Image towers read straight from open_clip's and timm's modules, for references that share no code with xtool.

All for a single image: n tokens, H heads of width d. What goes into each block is seen by a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool_clip.encoder import ClipEncoder


@dataclass(frozen=True)
class RawBlock:
    """A block, and what goes into it."""

    x: Tensor
    """[n, width] its input."""
    norm: Callable[[Tensor], Tensor]
    project: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    """[n, width] to q, k, v [H, n, d]."""
    inner_norm: Any
    """The norm of the joined heads before the output projection, or ``None``."""
    out: Any
    """The output projection, a linear layer."""
    scale_1: Callable[[Tensor], Tensor]
    """Layer scale after the attention."""
    second: Callable[[Tensor], Tensor]
    """The feed-forward branch, with its norm and scale."""

    def at(self, x: Tensor) -> RawBlock:
        """The same block with another input [n, width]."""
        return replace(self, x=x)

    @property
    def normed(self) -> Tensor:
        """[n, width] what goes into its attention."""
        return self.norm(self.x)

    @property
    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.project(self.normed)

    def attention(self) -> Tensor:
        """[H, n, n], head by head."""
        q, k, _ = self.qkv
        return torch.stack([(q[h] @ k[h].T / q.shape[-1] ** 0.5).softmax(dim=1) for h in range(len(q))])

    def merged(self, heads: Sequence[Tensor]) -> Tensor:
        """H outputs [n, d] to what is added to x."""
        joined = torch.cat(list(heads), dim=-1)
        joined = joined if self.inner_norm is None else self.inner_norm(joined)
        return self.scale_1(self.out(joined))

    def after(self, heads: Sequence[Tensor]) -> Tensor:
        """[n, width] what the block gives if these are its heads' outputs, H times [n, d]."""
        between = self.x + self.merged(heads)
        return between + self.second(between)

    def output(self, attention: Tensor | None = None) -> Tensor:
        """[n, width] what the block gives with this attention [H, n, n], by default its own."""
        weights, values = self.attention() if attention is None else attention, self.qkv[2]
        return self.after([weights[h] @ values[h] for h in range(len(values))])


def tokens_between(encoder: ClipEncoder, pixels: Tensor) -> list[Tensor]:
    """L + 1 times [n, width] of one image [1, 3, H, W]: what goes into each block, and what comes out of the last."""
    seen: list[Tensor] = []
    modules = _modules(encoder)
    handles = [module.register_forward_pre_hook(lambda _module, args: seen.append(args[0][0])) for module in modules]
    handles.append(modules[-1].register_forward_hook(lambda _module, _args, output: seen.append(output[0])))
    with torch.no_grad():
        encoder.encode_image(pixels)
    for handle in handles:
        handle.remove()
    return seen


def raw_blocks(encoder: ClipEncoder, pixels: Tensor) -> list[RawBlock]:
    """All blocks of the tower, with what goes into them for one image [1, 3, H, W]."""
    ropes: list[Tensor | None] = []
    modules = _modules(encoder)
    handles = [
        module.attn.register_forward_pre_hook(lambda _m, _a, kwargs: ropes.append(kwargs.get("rope")), with_kwargs=True)
        for module in modules
    ]
    inputs = tokens_between(encoder, pixels)[:-1]
    for handle in handles:
        handle.remove()
    read = _open_clip_block if hasattr(encoder.visual, "transformer") else _timm_block
    return [read(module, x, rope) for module, x, rope in zip(modules, inputs, ropes, strict=True)]


def projected(visual: Any, token: Tensor) -> Tensor:
    """A token [.., width] as open_clip's tower projects the pooled one, at length 1."""
    return F.normalize(visual.ln_post(token) @ visual.proj, dim=-1)


def alone(encoder: ClipEncoder, tokens: Tensor) -> Tensor:
    """[n, D] unit embeddings of n images that would each have one of these tokens [n, width] only."""
    visual: Any = encoder.visual
    if hasattr(visual, "transformer"):
        return projected(visual, tokens if visual.attn_pool is None else visual.attn_pool(tokens[:, None])[:, 0])
    trunk = visual.trunk
    tokens = trunk.norm(tokens)
    if trunk.attn_pool is not None:
        tokens = trunk.attn_pool(tokens[:, None])
    return F.normalize(visual.head(trunk.head(trunk.fc_norm(tokens))), dim=-1)


def grid_of(encoder: ClipEncoder) -> tuple[int, int]:
    """Rows and columns of patches."""
    (height, width), side = encoder.info.input_size, encoder.info.patch_size
    assert side
    return height // side, width // side


def prefix(encoder: ClipEncoder) -> int:
    """Tokens before the patches."""
    visual: Any = encoder.visual
    return 1 if hasattr(visual, "transformer") else int(visual.trunk.num_prefix_tokens)


def _modules(encoder: ClipEncoder) -> Any:
    visual: Any = encoder.visual
    return visual.transformer.resblocks if hasattr(visual, "transformer") else visual.trunk.blocks


def _heads(tokens: Tensor, count: int) -> Tensor:
    width = tokens.shape[-1] // count
    return torch.stack([tokens[:, h * width : (h + 1) * width] for h in range(count)])


def _open_clip_block(block: Any, x: Tensor, _: Tensor | None) -> RawBlock:
    attention = block.attn

    def project(normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        width = normed.shape[-1]
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        q, k, v = (normed @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width] for i in range(3))
        return _heads(q, attention.num_heads), _heads(k, attention.num_heads), _heads(v, attention.num_heads)

    return RawBlock(
        x, block.ln_1, project, None, attention.out_proj, block.ls_1,
        lambda y: block.ls_2(block.mlp(block.ln_2(y))),
    )  # fmt: skip


def _timm_block(block: Any, x: Tensor, rope: Tensor | None) -> RawBlock:
    attention = block.attn

    def project(normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if attention.qkv is None:
            parts = attention.q_proj(normed), attention.k_proj(normed), attention.v_proj(normed)
        else:
            parts = attention.qkv(normed).chunk(3, dim=-1)
            if getattr(attention, "q_bias", None) is not None:  # EVA has none for keys, and keeps the others apart
                parts = parts[0] + attention.q_bias, parts[1], parts[2] + attention.v_bias
        q, k, v = (_heads(part, attention.num_heads) for part in parts)
        return _turned(attention, attention.q_norm(q), rope), _turned(attention, attention.k_norm(k), rope), v

    def scale(tokens: Tensor, number: int) -> Tensor:
        layer_scale = getattr(block, f"ls{number}", None)
        gamma = getattr(block, f"gamma_{number}", None)
        tokens = tokens if layer_scale is None else layer_scale(tokens)
        return tokens if gamma is None else tokens * gamma

    inner = getattr(attention, "norm", None)
    return RawBlock(
        x, block.norm1, project, None if isinstance(inner, torch.nn.Identity) else inner,
        attention.proj, lambda y: scale(y, 1), lambda y: scale(block.mlp(block.norm2(y)), 2),
    )  # fmt: skip


def _turned(attention: Any, heads: Tensor, rope: Tensor | None) -> Tensor:
    """Neighbouring numbers [H, n, d] turned by their position's angle: (a, b) to (a cos − b sin, b cos + a sin)."""
    if rope is None:
        return heads
    assert not getattr(attention, "rotate_half", False)
    first = attention.num_prefix_tokens
    rope = rope.reshape(-1, rope.shape[-1])
    sine, cosine = rope.chunk(2, dim=-1)
    turned = heads.clone()
    for pair in range(0, heads.shape[-1], 2):
        a, b = heads[:, first:, pair], heads[:, first:, pair + 1]
        turned[:, first:, pair] = a * cosine[:, pair] - b * sine[:, pair]
        turned[:, first:, pair + 1] = b * cosine[:, pair + 1] + a * sine[:, pair + 1]
    return turned
