"""Word relevance from inside the text tower, against loops written from the papers and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clip_testing import CNN, Build
from torch import Tensor
from torch.nn import functional as F

from xtool.plugin import ExplainsWords, UsageError
from xtool_clip.encoder import ClipEncoder

TEXT = "a hyperextended owl, maybe."
WORDS = [(0, 1), (2, 15), (16, 19), (21, 26)]
PIECES = [1, 5, 1, 1]
"""Tokens of each word: "hyperextended" is "hy", "pere", "x", "t", "ended"."""
BEFORE = [1, 2, 7, 9]
"""Where each begins: after the start token, and past the comma."""
TOWERS: dict[str, dict[str, Any]] = {
    "CLIP": {},
    "end token by its number": {"custom_text": True, "text": {"pool_type": "eos", "eos_id": 49407}},
    "layer scale, linear projection": {"text": {"proj_bias": True, "ls_init_value": 0.5}},
}


@pytest.fixture(scope="module", params=TOWERS.values(), ids=TOWERS)
def encoder(build: Build, request: pytest.FixtureRequest) -> ClipEncoder:
    return build(CNN, **request.param)


@pytest.fixture
def direction() -> Tensor:
    return torch.randn(24, generator=torch.Generator().manual_seed(3))


class Loop:
    """The text tower written out in float64, token by token and head by head, where numbers can be changed."""

    def __init__(self, encoder: ClipEncoder) -> None:
        model: Any = encoder.model
        self.tower = getattr(model, "text", model)
        self.blocks = list(self.tower.transformer.resblocks)
        self.ids = open_clip.tokenize([TEXT])[0]
        self.ids = self.ids[: int(self.ids.argmax()) + 1]

    def __call__(
        self, weight: tuple[int, int, int, float] | None = None, output: tuple[int, Tensor] | None = None
    ) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """The unit embedding, and what each block's attention saw.

        Args:
            weight: block, head, token and what is added to the end token's attention there.
            output: block and what is added to the end token's attention output.
        """
        x = (self.tower.token_embedding.weight[self.ids] + self.tower.positional_embedding[: len(self.ids)]).double()
        seen = []
        for number, block in enumerate(self.blocks):
            attn = block.attn
            normed = F.layer_norm(x, x.shape[-1:], block.ln_1.weight.double(), block.ln_1.bias.double())
            q, k, v = (normed @ attn.in_proj_weight.double().T + attn.in_proj_bias.double()).chunk(3, dim=-1)
            width = q.shape[1] // attn.num_heads
            mixed, shares = [], []
            for head in range(attn.num_heads):
                part = slice(head * width, (head + 1) * width)
                share = torch.zeros(len(x), len(x), dtype=torch.float64)
                for token in range(len(x)):
                    scores = (k[: token + 1, part] @ q[token, part]) / width**0.5
                    share[token, : token + 1] = scores.exp() / scores.exp().sum()
                if weight is not None and weight[:2] == (number, head):
                    share[-1, weight[2]] += weight[3]
                mixed.append(share @ v[:, part])
                shares.append(share)
            projection = attn.out_proj.weight.double()
            out = torch.cat(mixed, dim=1) @ projection.T + attn.out_proj.bias.double()
            if output is not None and output[0] == number:
                out[-1] += output[1]
            seen.append({"q": q, "k": k, "v": v @ projection.T, "shares": torch.stack(shares)})
            scale_1, scale_2 = (getattr(each, "gamma", torch.ones(1)).double() for each in (block.ls_1, block.ls_2))
            x = x + scale_1 * out
            normed = F.layer_norm(x, x.shape[-1:], block.ln_2.weight.double(), block.ln_2.bias.double())
            hidden = F.gelu(normed @ block.mlp.c_fc.weight.double().T + block.mlp.c_fc.bias.double())
            x = x + scale_2 * (hidden @ block.mlp.c_proj.weight.double().T + block.mlp.c_proj.bias.double())
        last = F.layer_norm(x[-1], x.shape[-1:], self.tower.ln_final.weight.double(), self.tower.ln_final.bias.double())
        project = self.tower.text_projection
        if isinstance(project, torch.nn.Linear):
            found = last @ project.weight.double().T + project.bias.double()
        else:
            found = last @ project.double()
        return found / found.norm(), seen


def by_word(tokens: list[float]) -> list[float]:
    return [sum(tokens[start : start + count]) for start, count in zip(BEFORE, PIECES, strict=True)]


def test_it_explains_words(encoder: ClipEncoder) -> None:
    assert isinstance(encoder, ExplainsWords)
    assert encoder.word_methods == ("chefer", "gradeclip")
    pieces = [len(open_clip.tokenizer.SimpleTokenizer().encode(TEXT[start:end])) for start, end in WORDS]
    assert pieces == PIECES


@torch.no_grad()
def test_chefer_is_attention_times_its_gradient_from_the_end_token(encoder: ClipEncoder, direction: Tensor) -> None:
    loop, step = Loop(encoder), 1e-5
    embedding, seen = loop()
    torch.testing.assert_close(embedding.float(), encoder.encode_text([TEXT])[0], atol=1e-6, rtol=1e-5)
    last, shares = len(seen) - 1, seen[-1]["shares"]
    tokens = []
    for token in range(shares.shape[2]):
        found = 0.0
        for head in range(len(shares)):
            up, down = (loop(weight=(last, head, token, sign * step))[0] for sign in (1, -1))
            found += float(direction.double() @ (up - down)) / (2 * step) * float(shares[head, -1, token])
        tokens.append(found / len(shares))
    relevance = encoder.word_relevance(TEXT, WORDS, direction, "chefer")
    assert relevance == pytest.approx(by_word(tokens), rel=1e-3, abs=1e-7)


@torch.no_grad()
def test_gradeclip_is_value_times_gradient_loosely_weighted_over_all_blocks(
    encoder: ClipEncoder, direction: Tensor
) -> None:
    loop, step = Loop(encoder), 1e-5
    _, seen = loop()
    total = np.zeros(len(loop.ids))
    for number, block in enumerate(seen):
        width = block["v"].shape[1]
        gradient = np.zeros(width)
        for channel in range(width):
            change = torch.zeros(width, dtype=torch.float64)
            change[channel] = step
            up, down = loop(output=(number, change))[0], loop(output=(number, -change))[0]
            gradient[channel] = float(direction.double() @ (up - down)) / (2 * step)
        query, keys = block["q"][-1].numpy(), block["k"].numpy()
        cosines = np.array([key @ query / np.linalg.norm(key) / np.linalg.norm(query) for key in keys])
        loose = (cosines - cosines.min()) / (cosines.max() - cosines.min())
        total += loose * (block["v"].numpy() @ gradient)
    relevance = encoder.word_relevance(TEXT, WORDS, direction, "gradeclip")
    assert relevance == pytest.approx(by_word(total.tolist()), rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("method", ["chefer", "gradeclip"])
def test_against_the_direction_every_sign_turns(encoder: ClipEncoder, direction: Tensor, method: str) -> None:
    found, turned = (encoder.word_relevance(TEXT, WORDS, sign * direction, method) for sign in (1, -1))
    assert turned == pytest.approx([-value for value in found], rel=1e-5)
    assert all(found), "nothing is clamped"


def test_words_past_the_end_of_what_is_read_have_none(encoder: ClipEncoder, direction: Tensor) -> None:
    text = "owl " * 80
    spans = [(4 * number, 4 * number + 3) for number in range(80)]
    found = encoder.word_relevance(text, spans, direction, "chefer")
    assert all(found[:75]), "77 tokens, of which two are the start and the end"
    assert not any(found[75:])


def test_looking_inside_leaves_no_gradient_and_works_where_none_is_wanted(
    encoder: ClipEncoder, direction: Tensor
) -> None:
    plain = encoder.word_relevance(TEXT, WORDS, direction, "gradeclip")
    with torch.inference_mode():
        assert encoder.word_relevance(TEXT, WORDS, direction, "gradeclip") == plain
    assert all(parameter.grad is None for parameter in encoder.model.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"custom_text": True, "text": {"no_causal_mask": True}},
        {"custom_text": True, "text": {"pool_type": "last"}},
        {"custom_text": True, "text": {"embed_cls": True, "context_length": 76}},
    ],
    ids=["bidirectional", "pooled at the last position", "class token at the end"],
)
def test_other_text_towers_are_refused_in_words(build: Build, direction: Tensor, options: dict[str, Any]) -> None:
    encoder = build(CNN, **options)
    with pytest.raises(UsageError, match=r"needs a text tower with a causal mask .* --words removal works"):
        encoder.word_relevance(TEXT, WORDS, direction, "chefer")
    with pytest.raises(UsageError, match="it has chefer, gradeclip"):
        encoder.word_relevance(TEXT, WORDS, direction, "lime")
