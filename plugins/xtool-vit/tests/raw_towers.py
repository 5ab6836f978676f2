"""Image towers read straight from open_clip's and timm's modules, for references that share no code with xtool.

All for a single image: n tokens, H heads of width d. Everything is computed from what a hook saw go into each block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import load_encoder
from xtool_clip.encoder import ClipEncoder


@dataclass(frozen=True)
class RawBlock:
    """A block, and what went into it."""

    x: Tensor
    """[n, width] its input."""
    normed: Tensor
    """[n, width] what went into its attention."""
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

    @property
    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.project(self.normed)

    def attention(self) -> Tensor:
        """[H, n, n], head by head."""
        q, k, _ = self.qkv
        return torch.stack([(q[h] @ k[h].T / q.shape[-1] ** 0.5).softmax(dim=1) for h in range(len(q))])

    def merged(self, heads: list[Tensor]) -> Tensor:
        """H outputs [n, d] to what is added to x."""
        joined = torch.cat(heads, dim=-1)
        joined = joined if self.inner_norm is None else self.inner_norm(joined)
        return self.scale_1(self.out(joined))


def raw_blocks(encoder: ClipEncoder, pixels: Tensor) -> list[RawBlock]:
    """All blocks of the tower, with what went into them for one image [1, 3, H, W]."""
    visual: Any = encoder.visual
    modules = visual.transformer.resblocks if hasattr(visual, "transformer") else visual.trunk.blocks
    inputs, ropes, handles = [], [], []
    for module in modules:
        handles.append(module.register_forward_pre_hook(lambda _m, args: inputs.append(args[0][0])))
        handles.append(
            module.attn.register_forward_pre_hook(
                lambda _m, _a, kwargs: ropes.append(kwargs.get("rope")), with_kwargs=True
            )
        )
    with torch.no_grad():
        encoder.encode_image(pixels)
    for handle in handles:
        handle.remove()
    read = _open_clip_block if hasattr(visual, "transformer") else _timm_block
    return [read(module, x, rope) for module, x, rope in zip(modules, inputs, ropes, strict=True)]


def last_tokens(blocks: list[RawBlock]) -> Tensor:
    """[n, width] what the last block gives, from its own parts."""
    last = blocks[-1]
    attention, values = last.attention(), last.qkv[2]
    between = last.x + last.merged([attention[h] @ values[h] for h in range(len(values))])
    return between + last.second(between)


def alone(encoder: ClipEncoder, tokens: Tensor) -> Tensor:
    """[n, D] unit embeddings of n images that would each have one of these tokens [n, width] only."""
    visual: Any = encoder.visual
    if hasattr(visual, "transformer"):
        if visual.attn_pool is not None:
            tokens = visual.attn_pool(tokens[:, None])[:, 0]
        return F.normalize(visual.ln_post(tokens) @ visual.proj, dim=-1)
    trunk = visual.trunk
    tokens = trunk.norm(tokens)
    if trunk.attn_pool is not None:
        tokens = trunk.attn_pool(tokens[:, None])
    return F.normalize(visual.head(trunk.head(trunk.fc_norm(tokens))), dim=-1)


def prefix(encoder: ClipEncoder) -> int:
    """Tokens before the patches."""
    visual: Any = encoder.visual
    return 1 if hasattr(visual, "transformer") else int(visual.trunk.num_prefix_tokens)


def random_b_16() -> ClipEncoder:
    """ViT-B-16 with random weights, biases and attention set apart from zero."""
    encoder = load_encoder("ViT-B-16", pretrained="none", device="cpu")
    torch.manual_seed(3)
    for name, parameter in encoder.visual.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return encoder  # type: ignore[return-value]


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
        x, block.ln_1(x), block.ln_1, project, None, attention.out_proj, block.ls_1,
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
        x, block.norm1(x), block.norm1, project, None if isinstance(inner, torch.nn.Identity) else inner,
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
