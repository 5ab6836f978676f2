"""open_clip's own vision transformer, block by block and head by head, from its raw modules: no reader of xtool's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool_clip.encoder import ClipEncoder


def tokens_between(encoder: ClipEncoder, pixels: Tensor) -> list[Tensor]:
    """L + 1 times [n, width] of the one image: what goes into each block, and what comes out of the last."""
    seen: list[Tensor] = []
    visual: Any = encoder.visual
    blocks = visual.transformer.resblocks
    handles = [block.register_forward_pre_hook(lambda _module, args: seen.append(args[0][0])) for block in blocks]
    handles.append(blocks[-1].register_forward_hook(lambda _module, _args, output: seen.append(output[0])))
    with torch.no_grad():
        encoder.model.encode_image(pixels)  # type: ignore[operator]
    for handle in handles:
        handle.remove()
    return seen


def queries_keys_values(block: Any, normed: Tensor) -> list[list[Tensor]]:
    """For queries, keys and values a list over heads of [n, d]."""
    layer = block.attn
    parts = (normed @ layer.in_proj_weight.T + layer.in_proj_bias).chunk(3, dim=1)
    return [list(part.split(layer.head_dim, dim=1)) for part in parts]


def attention_of(block: Any, tokens: Tensor) -> list[Tensor]:
    """A list over heads of [n, n]."""
    queries, keys, _ = queries_keys_values(block, block.ln_1(tokens))
    return [
        torch.softmax(query @ key.T / query.shape[1] ** 0.5, dim=1) for query, key in zip(queries, keys, strict=True)
    ]


def finished(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The block's output [n, width] from the heads' outputs side by side [n, width]."""
    between = tokens + block.ls_1(attended @ block.attn.out_proj.weight.T + block.attn.out_proj.bias)
    output: Tensor = between + block.ls_2(block.mlp(block.ln_2(between)))
    return output


def with_attention(block: Any, tokens: Tensor, attention: list[Tensor], normed: Tensor | None = None) -> Tensor:
    """The block's output [n, width] with this attention in the place of its own."""
    values = queries_keys_values(block, block.ln_1(tokens) if normed is None else normed)[2]
    return finished(
        block, tokens, torch.cat([weights @ value for weights, value in zip(attention, values, strict=True)], 1)
    )


def projected(visual: Any, token: Tensor) -> Tensor:
    """A token [.., width] as the pooled one is projected, at length 1."""
    return F.normalize(visual.ln_post(token) @ visual.proj, dim=-1)


def grid_of(visual: Any) -> tuple[int, int]:
    """Rows and columns of patches."""
    return tuple(visual.grid_size)
