"""Text embeddings from open_clip models, without computing what has no effect."""

from __future__ import annotations

from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

TEXTS_PER_BATCH = 256


def embed_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Embed token ids [T, L] as unit vectors [T, D], float32, equal to ``model.encode_text``.

    CLIP pads texts to 77 tokens, of which a short prompt uses about ten. Under a causal mask nothing after the end
    token can reach it, so texts go through the tower by length, each cut after the longest of its batch: several
    times faster on a CPU. Towers that see the padding (bidirectional, or pooled at the last position) get it all.
    """
    lengths = used_lengths(model, tokens)
    order = lengths.argsort(stable=True)
    batches = torch.split(order, TEXTS_PER_BATCH)
    features = [_encode(model, tokens[rows], int(lengths[rows].max())) for rows in batches]
    return F.normalize(torch.cat(features).float(), dim=-1)[order.argsort()]


def used_lengths(model: nn.Module, tokens: Tensor) -> Tensor:
    """Tokens of each text up to its end token [T], or all of them where the model reads on."""
    pooling = end_token_pooling(model)
    if pooling is None:
        return torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
    if pooling == "argmax":  # CLIP's end token has the highest id
        return tokens.argmax(dim=-1) + 1
    end = torch.eq(tokens, text_tower(model)[2])
    return end.int().argmax(dim=-1) + 1


def _encode(model: nn.Module, tokens: Tensor, length: int) -> Tensor:
    """Features [T, D] from the first ``length`` tokens, unit norm or not."""
    features: Tensor
    if length == tokens.shape[1]:
        features = model.encode_text(tokens)  # type: ignore[operator]
    else:
        output = functional_call(model, _shorter_context(model, length), (), {"text": tokens[:, :length]})
        features = output["text_features"] if isinstance(output, dict) else output[1]
    return features


def _shorter_context(model: nn.Module, length: int) -> dict[str, Tensor]:
    """The tensors of ``model`` that have the size of its context, cut to ``length``."""
    tower, prefix, _ = text_tower(model)
    shorter: dict[str, Tensor] = {f"{prefix}attn_mask": tower.attn_mask[:length, :length]}
    if not prefix:  # CustomTextCLIP's tower shortens its positions itself
        shorter["positional_embedding"] = tower.positional_embedding[:length]
    return shorter


def text_tower(model: nn.Module) -> tuple[Any, str, Any]:
    """The module that holds the text tower, the prefix of its tensors' names in ``model``, and its end token."""
    if type(model) is open_clip.CLIP:
        return model, "", getattr(model, "text_eos_id", None)
    tower = getattr(model, "text", None)
    return tower, "text.", getattr(tower, "eos_id", None)


def end_token_pooling(model: nn.Module) -> str | None:
    """How a causal text tower finds its end token; ``None`` for all other towers."""
    if type(model) not in {open_clip.CLIP, open_clip.CustomTextCLIP}:
        return None
    tower, _, _ = text_tower(model)
    pooling = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    causal = isinstance(getattr(tower, "attn_mask", None), Tensor) and getattr(tower, "cls_emb", None) is None
    return pooling if causal and pooling in {"argmax", "eos"} else None
