"""Embeddings of images and texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import open_clip
import pytest
import torch
from clip_testing import CNN, CPU, TEXT, VIT, Build, noise

from xtool.plugin import Encoder, UsageError
from xtool_clip.encoder import ClipEncoder

TEXTS = [
    "an image of a dog.",
    "cat",
    "",
    "a very long sentence about a small blue bird on a tall green tree " * 8,
    "ab",
]


@pytest.fixture
def encoder(build: Build) -> Iterator[ClipEncoder]:
    """With an empty cache of texts."""
    return build(CNN)


def reference(encoder: ClipEncoder, texts: list[str]) -> torch.Tensor:
    """open_clip's own way, on whole texts."""
    model: Any = encoder.model
    with torch.no_grad():
        return model.encode_text(open_clip.tokenize(texts), normalize=True)


def test_it_is_an_encoder(encoder: ClipEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert not encoder.model.training


@pytest.mark.parametrize("vision", [CNN, VIT])
@torch.no_grad()
def test_image_embeddings_are_open_clips_own(build: Build, vision: dict[str, Any]) -> None:
    encoder = build(vision)
    pixels, model = noise(encoder), encoder.model
    torch.testing.assert_close(encoder.encode_image(pixels), model.encode_image(pixels, normalize=True))  # type: ignore[operator]


def test_image_embeddings_are_differentiable(encoder: ClipEncoder) -> None:
    pixels = noise(encoder).requires_grad_()
    encoder.encode_image(pixels)[:, 0].sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.abs().sum() > 0
    encoder.model.zero_grad(set_to_none=True)


TEXT_TOWERS = {
    "CLIP": {},
    "CLIP pooled at eos": {"text": {"pool_type": "eos", "eos_id": 49407}},
    "custom text": {"custom_text": True},
    "custom text pooled at eos": {"custom_text": True, "text": {"pool_type": "eos", "eos_id": 49407}},
    "bidirectional": {"custom_text": True, "text": {"no_causal_mask": True}},
    "pooled at the last position": {"custom_text": True, "text": {"pool_type": "last"}},
    "class token at the end": {"custom_text": True, "text": {"embed_cls": True, "context_length": 76}},
    "linear projection": {"text": {"proj_bias": True}},
    "dictionary output": {"output_dict": True},
}


@pytest.mark.parametrize("options", TEXT_TOWERS.values(), ids=TEXT_TOWERS)
def test_text_embeddings_equal_open_clips_on_whole_texts(build: Build, options: dict[str, Any]) -> None:
    encoder = build(CNN, **options)
    length = options.get("text", {}).get("context_length", TEXT["context_length"])
    model: Any = encoder.model
    with torch.no_grad():
        expected = model.encode_text(open_clip.tokenize(TEXTS, context_length=length), normalize=True)
    torch.testing.assert_close(encoder.encode_text(TEXTS), expected, atol=1e-6, rtol=1e-5)


def test_short_texts_skip_the_padding(encoder: ClipEncoder) -> None:
    lengths: list[int] = []
    block = encoder.model.transformer.resblocks[0]  # type: ignore[union-attr, index]
    handle = block.register_forward_hook(lambda _, args, __: lengths.append(args[0].shape[1]))  # type: ignore[union-attr, operator]
    encoder.encode_text(["dog", "an image of a dog."])
    handle.remove()  # type: ignore[union-attr]
    assert lengths == [8]  # start, an, image, of, a, dog, the full stop, end


def test_rn50_text_embeddings_equal_open_clips(rn50: ClipEncoder) -> None:
    torch.testing.assert_close(rn50.encode_text(TEXTS), reference(rn50, TEXTS), atol=1e-6, rtol=1e-5)


def test_texts_keep_their_order_and_repeats(encoder: ClipEncoder) -> None:
    order = [TEXTS[index] for index in (3, 1, 1, 0, 4, 3)]
    torch.testing.assert_close(encoder.encode_text(order), reference(encoder, order), atol=1e-6, rtol=1e-5)
    assert encoder.encode_text([]).shape == (0, 24)


def test_each_text_is_embedded_once(encoder: ClipEncoder) -> None:
    embedded: list[int] = []
    handle = encoder.model.ln_final.register_forward_hook(lambda _, args, __: embedded.append(len(args[0])))  # type: ignore[union-attr]
    first = encoder.encode_text(["dog", "cat", "dog"])
    encoder.encode_text(["cat", "bird"])
    again = encoder.encode_text(["dog", "cat", "dog"])
    handle.remove()
    assert embedded == [2, 1]
    assert torch.equal(first, again)


def test_changing_a_result_does_not_change_the_next(encoder: ClipEncoder) -> None:
    first = encoder.encode_text(["dog"])
    kept = first.clone()
    first.zero_()
    assert torch.equal(encoder.encode_text(["dog"]), kept)


def test_texts_first_embedded_in_inference_mode_serve_gradient_methods_later(encoder: ClipEncoder) -> None:
    with torch.inference_mode():
        encoder.encode_text(["dog"])
    pixels = noise(encoder).requires_grad_()
    (encoder.encode_image(pixels) @ encoder.encode_text(["dog"]).T).sum().backward()
    assert pixels.grad is not None
    encoder.model.zero_grad(set_to_none=True)


def test_embedding_text_leaves_the_text_tower_as_found(encoder: ClipEncoder) -> None:
    model: Any = encoder.model
    before = model.positional_embedding, model.attn_mask
    encoder.encode_text(["dog"])
    assert model.positional_embedding is before[0]
    assert model.attn_mask is before[1]


def test_a_single_string_is_refused(encoder: ClipEncoder) -> None:
    with pytest.raises(UsageError, match="a list of texts"):
        encoder.encode_text("dog")


@pytest.mark.parametrize("vision", [CNN, VIT])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_by_itself_it_takes_half_precision_in_inference_mode_alone(
    build: Build, vision: dict[str, Any], dtype: str
) -> None:
    full, half = build(vision), build(vision, options=CPU.model_copy(update={"dtype": dtype}))
    pixels = noise(full)
    with torch.inference_mode():
        exact, embedding = full.encode_image(pixels), half.encode_image(pixels)
    assert half.dtype == getattr(torch, dtype)
    assert not torch.allclose(embedding, exact, atol=1e-6)
    with torch.no_grad():
        assert torch.equal(half.encode_image(pixels), full.encode_image(pixels))
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(2))
    assert (embedding * exact).sum(-1).min() > 0.999
    assert torch.equal(half.encode_text(["dog"]), full.encode_text(["dog"]))
