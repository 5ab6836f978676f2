"""Transformers: LeGrad and GEM as their papers describe them, in plain loops, beside xtool's

One image on ViT-B-16 with random weights. The loops use nothing but open_clip's own modules and autograd, and take a
pass for each text. Before anything is timed the maps are **checked to agree**. *Passes* are the seconds as multiples of
those of open_clip's tower for the same image without gradients; all lines are measured in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed import models, rivals
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import Table, say
from benchmarks.speed.timing import interleaved

ENCODER = "ViT-B-16"
TEXTS = (1, 8)
GEM_BLOCKS = 6

Loop = Callable[[Any, Tensor, Tensor], Tensor]
"""Image tower, pixels [1, 3, H, W] and text [1, D] to a map [h, w]."""


def run(plan: Plan) -> None:
    name = "tiny-vit" if plan.quick else ENCODER
    for device in plan.devices:
        say(f"\n{name} on {device}, float32")
        row = Table("method", "texts", "tool", "s", "passes", "faster")
        encoder = models.encoder(name, device=device)
        for texts in TEXTS:
            words = [models.TEXT, *(f"an image of {number} cats." for number in range(1, texts))]
            question = rivals.Question(encoder, models.photograph(plan, encoder), encoder.encode_text(words))
            for label, loop in {"legrad": legrad, "gem:preset=paper": gem}.items():
                _measure(row, plan, question, label, loop)


def _measure(row: Table, plan: Plan, question: rivals.Question, label: str, loop: Loop) -> None:
    visual: Any = question.encoder.visual
    own = rivals.own_method(question, question.encoder, label)

    def bare() -> None:
        with torch.no_grad():
            visual(question.pixels)

    def looped() -> Tensor:  # once for each text: so these loops have it
        found = [loop(visual, question.pixels, text[None]) for text in question.text]
        return found[0]

    alike = rivals.correlation(own(0), looped())
    if not alike > rivals.ALIKE:
        raise AssertionError(f"{label} and the plain loop have a correlation of only {alike:.5f}")
    alone, theirs, ours = (
        median(each) for each in interleaved([bare, looped, lambda: own(0)], plan.rounds, warm=False)
    )
    texts = len(question.text)
    row(f"`{label}`", texts, "plain loop", theirs, theirs / alone, None)
    row(f"`{label}`", texts, "**xtool**", ours, ours / alone, f"{theirs / ours:.2f}×")


def legrad(visual: Any, pixels: Tensor, text: Tensor) -> Tensor:
    """LeGrad (arXiv:2404.03214): one forward that keeps each block's attention, one backward for each block."""
    tokens = _embedded(visual, pixels)
    total = torch.zeros(tokens.shape[1], device=tokens.device)
    for block in visual.transformer.resblocks:
        queries, keys, values = _heads(block, block.ln_1(tokens))
        attention = _attention(queries, keys)
        tokens = _finished(block, tokens, attention @ values)
        pooled = F.normalize(visual.ln_post(tokens.mean(dim=1)) @ visual.proj, dim=-1)
        (gradient,) = torch.autograd.grad((pooled @ text.T).sum(), attention, retain_graph=True)
        total += gradient.clamp(min=0).mean(dim=(0, 1, 2))
    return total[1:].reshape(visual.grid_size).cpu()


@torch.no_grad()
def gem(visual: Any, pixels: Tensor, text: Tensor) -> Tensor:
    """GEM (arXiv:2312.00878): a side path of self–self attention over the last blocks."""
    tokens = _embedded(visual, pixels)
    blocks = list(visual.transformer.resblocks)
    beside = None
    for number, block in enumerate(blocks):
        normed = block.ln_1(tokens)
        queries, keys, values = _heads(block, normed)
        if number >= len(blocks) - GEM_BLOCKS:
            beside = tokens if beside is None else beside
            sharpness = normed.norm(dim=-1).mean() * values.shape[-1] ** -0.5
            gathered = [_self_self(each, values, sharpness) for each in (queries, keys, values)]
            beside = beside + block.ls_1(_merged(block, torch.stack(gathered).mean(dim=0)))
        tokens = _finished(block, tokens, _attention(queries, keys) @ values)
    ends = F.normalize(visual.ln_post(beside) @ visual.proj, dim=-1)
    return (ends[0, 1:] @ text[0]).reshape(visual.grid_size).cpu()


def _embedded(visual: Any, pixels: Tensor) -> Tensor:
    """[1, 1 + patches, width] what goes into the first block."""
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(patches), 1, -1)
    tokens: Tensor = visual.ln_pre(torch.cat([first, patches], dim=1) + visual.positional_embedding)
    return tokens


def _heads(block: Any, normed: Tensor) -> list[Tensor]:
    """Queries, keys and values [1, heads, n, d]."""
    layer = block.attn
    parts = F.linear(normed, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1)
    return [part.unflatten(-1, (layer.num_heads, -1)).transpose(1, 2) for part in parts]


def _attention(queries: Tensor, keys: Tensor) -> Tensor:
    return (queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5).softmax(dim=-1)


def _merged(block: Any, heads: Tensor) -> Tensor:
    """The heads' outputs [1, heads, n, d] as the block's [1, n, width]."""
    merged: Tensor = block.attn.out_proj(heads.transpose(1, 2).flatten(2))
    return merged


def _finished(block: Any, tokens: Tensor, heads: Tensor) -> Tensor:
    """The block's output tokens."""
    between = tokens + block.ls_1(_merged(block, heads))
    output: Tensor = between + block.ls_2(block.mlp(block.ln_2(between)))
    return output


def _self_self(projected: Tensor, values: Tensor, sharpness: Tensor) -> Tensor:
    grouped = F.normalize(projected, dim=-1)
    mixed = F.normalize((sharpness * grouped @ grouped.transpose(-2, -1)).softmax(dim=-1) @ grouped, dim=-1)
    return (sharpness * mixed @ mixed.transpose(-2, -1)).softmax(dim=-1) @ values
