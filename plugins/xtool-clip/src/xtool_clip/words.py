"""Which words of a text mattered, from inside the text tower: two methods by gradients, with their signs.

Both papers drop what is negative, so that a word can never speak against a text. Here the sign is kept: they are
Chefer's and Grad-ECLIP's formulas without their clamps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xtool.plugin import Block, Heads, TokenGrid, UsageError
from xtool_clip.layers import read_block
from xtool_clip.text import end_token_pooling, text_tower, used_lengths

Tokenizer = Callable[[list[str]], Tensor]


def word_relevance(
    model: nn.Module,
    tokenizer: Tokenizer,
    encoder: str,
    text: str,
    spans: Sequence[tuple[int, int]],
    direction: Tensor,
    method: str,
) -> list[float]:
    """See :meth:`xtool.plugin.ExplainsWords.word_relevance`. A word's pieces are summed.

    Raises :class:`xtool.plugin.UsageError` for another method, and for a text tower without a causal mask or an end
    token, since any other token may hold what the text means.
    """
    if method not in METHODS:
        raise UsageError(f"{encoder} has no word relevance {method!r}; it has {', '.join(METHODS)}")
    if end_token_pooling(model) is None:
        raise UsageError(
            f"word relevance by {method} needs a text tower with a causal mask that ends in the end token, which "
            f"{encoder} has not; --words removal works with every encoder"
        )
    device = direction.device
    with torch.inference_mode(False), torch.enable_grad():  # what is made in inference mode could not be differentiated
        beginnings = [text[:place] for span in spans for place in span]
        tokens = tokenizer([text, *beginnings]).to(device)
        ends = used_lengths(model, tokens)
        relevance = METHODS[method](*_run(model, tokens[:1, : int(ends[0])], encoder), direction.clone()).detach()
    # A beginning of the text is cut into the same tokens as the whole, and its end token stands where they go on.
    # (In a run of Chinese characters a token may hold parts of two; then it counts for one of them.)
    places = (ends[1:] - 1).view(-1, 2).tolist()
    return [float(relevance[start:end].sum()) for start, end in places]


@dataclass(frozen=True, slots=True)
class _Attended:
    """What one block's attention did in a pass over one text of n tokens, the last of which is the end token."""

    block: Block
    heads: Heads
    weights: Tensor
    """[1, heads, n, n], from which the rest was computed."""
    output: Tensor
    """[1, n, width], before it is added to the tokens; the rest was computed from it."""


def _run(model: nn.Module, tokens: Tensor, encoder: str) -> tuple[list[_Attended], Tensor]:
    """The attention of every block on token ids [1, n], and the unit embedding [D], with their graph."""
    tower: Any = text_tower(model)[0]
    count = tokens.shape[1]
    mask = tower.attn_mask[:count, :count]
    row = TokenGrid(1, count, prefix_tokens=0, batch_first=tower.transformer.batch_first)
    x = (tower.token_embedding(tokens) + tower.positional_embedding[:count]).detach().requires_grad_()
    passed = []
    for module in tower.transformer.resblocks:
        block = read_block(module, row, encoder)
        heads = block.heads(x)
        weights = (heads.queries @ heads.keys.transpose(-2, -1) * block.attention.scale + mask).softmax(dim=-1)
        output = block.attention.merge(weights @ heads.values, heads)
        passed.append(_Attended(block, heads, weights, output))
        x = x + block.residual(output)
        x = x + block.feed_forward(x)
    end, project = tower.ln_final(x)[0, -1], tower.text_projection
    if project is not None:
        end = project(end) if isinstance(project, nn.Linear) else end @ project
    return passed, F.normalize(end.float(), dim=0)


def _chefer(passed: list[_Attended], embedding: Tensor, direction: Tensor) -> Tensor:
    """[n]: attention times its gradient in the last block, from the end token to each token, mean over heads.

    Chefer, Gur and Wolf 2021, equations 5 and 6, from the last block on as in their CLIP; without the clamp of
    equation 5, and not divided by the sum, which may be zero.
    """
    weights = passed[-1].weights
    (gradient,) = torch.autograd.grad(embedding @ direction, weights)
    return (gradient * weights)[0, :, -1].mean(dim=0)


def _gradeclip(passed: list[_Attended], embedding: Tensor, direction: Tensor) -> Tensor:
    """[n]: what each token's value would add to the score at the end token, loosely weighted; sum over the blocks.

    Zhao et al. 2024 (Grad-ECLIP): with g the gradient by the end token's attention output, v a token's value behind
    the output projection, and λ the cosine of the end token's query with the token's key, scaled to [0, 1] over the
    text: λ (g · v), here without the clamp at 0. The projection's bias belongs to no token and is left out.
    """
    gradients = torch.autograd.grad(embedding @ direction, [each.output for each in passed])
    total = torch.zeros(passed[0].output.shape[1], device=embedding.device)
    for each, gradient in zip(passed, gradients, strict=True):
        merge, heads = each.block.attention.merge, each.heads
        values = merge(heads.values, heads) - merge(torch.zeros_like(heads.values), heads)
        queries, keys = (part[0].transpose(0, 1).flatten(1) for part in (heads.queries, heads.keys))
        cosines = F.cosine_similarity(queries[-1:], keys, dim=1)
        loose = (cosines - cosines.min()) / (cosines.max() - cosines.min()).clamp_min(1e-12)
        total = total + loose * (values[0] @ gradient[0, -1])
    return total


METHODS: dict[str, Callable[[list[_Attended], Tensor, Tensor], Tensor]] = {"chefer": _chefer, "gradeclip": _gradeclip}
