"""Dense: what each patch says by itself, once the last block mixes tokens in another way than it was trained to.

A class token's attention gathers; that of the patches scatters, and blurs where things are. So the last block is run
again with another mixture W of the values v, of which several published methods are choices (:class:`DenseConfig`)::

    y = [x +] residual(merge(W v))        y = y [+ feed_forward(y)]
    f = the embedding of the patch as if it were the only token to pool, at unit length
    map = f · t, less what every text shows (:mod:`xtool_vit.directions`), or what grows exponentially with it

One pass for any number of texts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import Encoder, Heads, Saliency, TokenGrid, TokenStream, UsageError, read_stream
from xtool_vit.config import DenseConfig
from xtool_vit.directions import cosine_maps, directions, to_saliency


class Dense:
    """The cosine of each patch's own embedding with the text.

    Sources, by preset: ``maskclip`` Zhou et al. 2022, arXiv:2112.01071; ``sclip`` Wang et al. 2024, arXiv:2312.01597;
    ``clearclip`` Lan et al. 2024, arXiv:2407.12442; ``naclip`` Hajimiri et al. 2025, arXiv:2404.08181; ``cliper`` Sun
    et al. 2025, arXiv:2411.13836; ``value``, the block as it is but for the identity in place of its attention, as
    TIPS reads its patches (Maninis et al. 2025, arXiv:2410.16512).
    """

    def __init__(self, config: DenseConfig) -> None:
        self.config = config

    @torch.no_grad()
    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        stream = read_stream(encoder, pixels)
        towards = directions(encoder, stream.embedding, text, self.config.common)
        maps = [cosine_maps(stream, features, towards) for features in token_features(stream, self.config)]
        values = torch.stack(maps).mean(dim=0)
        if self.config.sharpness is not None:
            values = (self.config.sharpness * encoder.info.logit_scale * values).exp()
        return to_saliency(values, self.config)


def token_features(stream: TokenStream, config: DenseConfig) -> list[Tensor]:
    """What each token says by itself: one or several times [B, n, D], not normalised.

    With the block's own attention, residual and feed-forward branch it is each of the model's own last tokens, pooled
    alone.

    Raises:
        UsageError: the attention cannot be mixed so on this encoder.
    """
    block, rotation = stream.blocks[-1], stream.rotations[-1] if config.rotation == "after" else None
    inputs = [stream.into(-1)]
    if config.inputs == "all":
        inputs = [part.norm(tokens) for part, tokens in zip(stream.blocks[:-1], stream.tokens, strict=False)] + inputs
    fused = fused_attention(stream) if config.attention == "fused" else None
    found = []
    for tokens in inputs:
        heads = block.heads(tokens, rotation)
        mixed = _mixed(stream, heads, config) if fused is None else fused @ heads.values
        attended = block.residual(block.attention.merge(mixed, heads))
        attended = tokens + attended if config.residual else attended
        attended = attended + block.feed_forward(attended) if config.feed_forward else attended
        found.append(stream.pooling.embed_each(attended))
    return found


def _mixed(stream: TokenStream, heads: Heads, config: DenseConfig) -> Tensor:
    """The heads' outputs W v [B, heads, n, d], with W made from these heads."""
    if config.attention == "identity":
        return heads.values
    queries, keys, values = heads.queries, heads.keys, heads.values
    pairs = {
        "own": [(queries, keys)],
        "qq": [(queries, queries)],
        "kk": [(keys, keys)],
        "vv": [(values, values)],
        "qq+kk": [(queries, queries), (keys, keys)],
    }
    chosen = [(_by_head(heads), _by_head(heads))] if config.attention == "xx" else pairs[config.attention]
    near = 0.0 if config.locality is None else neighbourhood(stream.grid, config.locality).to(values)
    scale = stream.blocks[-1].attention.scale
    weights = [(one @ other.transpose(-2, -1) * scale + near).softmax(dim=-1) for one, other in chosen]
    return torch.stack(weights).sum(dim=0) @ values


def neighbourhood(grid: TokenGrid, sigma: float) -> Tensor:
    """[n, n]: how near two patches are, exp(−distance² / 2σ²) with σ in patches; 0 for tokens without a position."""
    rows, columns = torch.meshgrid(torch.arange(grid.height), torch.arange(grid.width), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()
    near = (-torch.cdist(places, places).square() / (2 * sigma**2)).exp()
    return F.pad(near, (grid.prefix_tokens, 0, grid.prefix_tokens, 0))


def fused_attention(stream: TokenStream) -> Tensor:
    """CLIPer's mixture [B, heads, n, n]: the attention of all blocks but the last, added, balanced and made sparse.

    Raises:
        UsageError: there is one block only, or they differ in their number of heads.
    """
    earlier = [stream.attention(block) for block in range(len(stream.blocks) - 1)]
    if len({attention.shape[1] for attention in [*earlier, stream.attention(-1)]}) > 1 or not earlier:
        raise UsageError(
            "attention=fused adds the attention of several blocks with as many heads each, which this encoder does not "
            "have; take attention=own"
        )
    fused = sum(earlier[1:], earlier[0])
    fused = fused / fused.sum(dim=-2, keepdim=True)
    fused = fused / fused.sum(dim=-1, keepdim=True)
    fused = (fused + fused.transpose(-2, -1)) / 2
    fused = (fused - fused.mean(dim=-2, keepdim=True)).clamp(min=0)
    return fused / fused.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(fused.dtype).tiny)


def _by_head(heads: Heads) -> Tensor:
    """What went into the attention, cut into as many parts as there are heads: [B, heads, n, width / heads].

    Raises:
        UsageError: the width is no multiple of the number of heads.
    """
    tokens, count = heads.tokens, heads.values.shape[1]
    if tokens.shape[-1] % count:
        raise UsageError(
            f"attention=xx cuts tokens into {count} heads, of which their width {tokens.shape[-1]} is no multiple"
        )
    return tokens.reshape(*tokens.shape[:2], count, -1).transpose(1, 2)
