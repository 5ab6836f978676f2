"""Embeddings are transformers' own, of the same pixels and of the same photograph, and so are tokens."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hf_testing import PROCESSORS, WORDS, noise, open_model, save_model
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from xtool.image.pixels import fit_image, to_pixels
from xtool_transformers.encoder import TransformersEncoder

Saved = Callable[[str], tuple[Path, Any]]
Opened = Callable[[str], TransformersEncoder]

PHOTOGRAPH = Path(__file__).parents[2] / "xtool-photo" / "src" / "xtool_photo" / "data" / "photos" / "chelsea.jpg"
TEXTS = ["a photo of a dog.", "zebra", "an image of the red traffic light and a green cat"]


def own_image_features(family: str, model: Any, pixels: Tensor) -> Tensor:
    """What transformers makes of pixels, of unit length."""
    if family == "blip":  # it has no function of its own for that; these are the lines of its forward pass
        return F.normalize(model.vision_proj(model.vision_model(pixels).last_hidden_state[:, 0]), dim=1)
    return F.normalize(model.get_image_features(pixels).pooler_output, dim=1)


def own_text_features(family: str, model: Any, tokenizer: Any, text: str) -> Tensor:
    """What transformers makes of one text alone, of unit length."""
    if family.startswith("siglip"):  # as its model cards say; trained without a mask
        ids = tokenizer([text], padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
        return F.normalize(model.get_text_features(ids).pooler_output, dim=1)
    tokens = tokenizer([text], return_tensors="pt")
    if family == "blip":
        hidden = model.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return F.normalize(model.text_proj(hidden[:, 0]), dim=1)
    return F.normalize(model.get_text_features(**tokens).pooler_output, dim=1)


@torch.no_grad()
def test_image_embeddings_are_transformers_own(family: str, saved: Saved, opened: Opened) -> None:
    pixels = noise(opened(family), batch=3)
    expected = own_image_features(family, saved(family)[1], pixels)
    torch.testing.assert_close(opened(family).encode_image(pixels), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_text_embeddings_are_transformers_own_whatever_else_is_in_the_batch(
    family: str, saved: Saved, opened: Opened
) -> None:
    folder, model = saved(family)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = torch.cat([own_text_features(family, model, tokenizer, text) for text in TEXTS[:2]])
    found = opened(family).encode_text(TEXTS)
    torch.testing.assert_close(found[:2], expected, rtol=0, atol=1e-5)
    assert not found.requires_grad


@torch.no_grad()
def test_blips_cosines_are_those_of_its_contrastive_half(saved: Saved, opened: Opened) -> None:
    folder, model = saved("blip")
    encoder = opened("blip")
    pixels, text = noise(encoder), TEXTS[0]
    tokens = transformers.AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt")
    scores = model(tokens.input_ids, pixels, use_itm_head=False, attention_mask=tokens.attention_mask).itm_score
    found = encoder.encode_image(pixels) @ encoder.encode_text([text]).T
    torch.testing.assert_close(found, scores, rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_softmax_over_texts_is_the_models_own(saved: Saved, opened: Opened) -> None:
    for family in ("clip", "align", "groupvit"):
        folder, model = saved(family)
        encoder = opened(family)
        pixels, tokenizer = noise(encoder), transformers.AutoTokenizer.from_pretrained(folder)
        tokens = tokenizer(TEXTS[:2], padding=True, return_tensors="pt")
        expected = model(**tokens, pixel_values=pixels).logits_per_image
        found = encoder.info.logit_scale * encoder.encode_image(pixels) @ encoder.encode_text(TEXTS[:2]).T
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "fit", "size"),
    [
        ("siglip", "squash", None),
        ("align", "squash", None),
        ("blip", "squash", None),
        # CLIP's processor rounds the longer side to whole pixels, which xtool, to map boxes back exactly, does not.
        ("clip", "crop", (432, 288)),
        ("groupvit", "crop", (288, 432)),
    ],
)
def test_a_photograph_becomes_what_the_models_own_processor_makes_of_it(
    family: str, fit: Any, size: tuple[int, int] | None, saved: Saved, opened: Opened
) -> None:
    folder, model = saved(family)
    encoder = opened(family)
    with Image.open(PHOTOGRAPH) as file:
        photograph = file.convert("RGB")
    if size is not None:
        photograph = photograph.crop((0, 0, *size))
    kind = str(PROCESSORS[family]["image_processor_type"])
    processor = getattr(transformers, f"{kind}Pil", None) or getattr(transformers, kind)
    wanted = processor.from_pretrained(folder)(photograph, return_tensors="pt")["pixel_values"]
    found = to_pixels(fit_image(photograph, encoder.info, fit), encoder)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    expected = own_image_features(family, model, wanted)
    torch.testing.assert_close(encoder.encode_image(found), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_another_input_size_is_as_transformers_interpolates_it(transformer: str, saved: Saved) -> None:
    folder, model = saved(transformer)
    encoder = open_model(folder, input_size=48)
    assert encoder.info.input_size == (48, 48)
    pixels = noise(encoder)
    tower = model.vision_model(pixels, interpolate_pos_encoding=True)
    pooled = tower.pooler_output
    if transformer == "clip":
        pooled = model.visual_projection(pooled)
    elif transformer == "blip":
        pooled = model.vision_proj(tower.last_hidden_state[:, 0])
    torch.testing.assert_close(encoder.encode_image(pixels), F.normalize(pooled, dim=1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_half_precision_is_for_passes_without_gradients_alone(family: str, saved: Saved, opened: Opened) -> None:
    encoder = open_model(saved(family)[0], dtype="bfloat16")
    pixels, exact = noise(encoder), opened(family).encode_image
    assert torch.equal(encoder.encode_image(pixels), exact(pixels))
    with torch.inference_mode():
        rough = encoder.encode_image(pixels)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact(pixels))
    assert float((rough * exact(pixels)).sum(dim=1).min()) > 0.99
    assert {parameter.dtype for parameter in encoder.visual.parameters()} == {torch.float32}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_same_at_the_size_of_the_base_models(family: str, tmp_path: Path) -> None:
    """ViT-B at 224 pixels, with patches of 32 and 16: transformers' defaults."""
    vision = {
        "hidden_size": 768,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 32 if family == "clip" else 16,
    }
    projected = {"projection_size": 768} if family == "siglip" else {}
    model = save_model(family, tmp_path, vision=vision, text=projected)
    encoder = open_model(tmp_path)
    pixels = noise(encoder)
    expected = own_image_features(family, model, pixels)
    torch.testing.assert_close(encoder.encode_image(pixels), expected, rtol=0, atol=1e-5)
    assert encoder.info.embed_dim == expected.shape[1]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    torch.testing.assert_close(
        encoder.encode_text([WORDS[6]]), own_text_features(family, model, tokenizer, WORDS[6]), rtol=0, atol=1e-5
    )


@pytest.mark.slow
@torch.no_grad()
def test_a_copy_and_a_pickled_encoder_embed_alike(family: str, opened: Opened) -> None:
    encoder = opened(family)
    pixels = noise(encoder)
    for again in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert again.visual is not encoder.visual
        torch.testing.assert_close(again.encode_image(pixels), encoder.encode_image(pixels), rtol=0, atol=1e-6)
        torch.testing.assert_close(again.encode_text(TEXTS), encoder.encode_text(TEXTS), rtol=0, atol=1e-6)
