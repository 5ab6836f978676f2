"""The bundled models load as plain open_clip models and take free text."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from xtool.plugin import EncoderOptions
from xtool_tiny.encoder import load
from xtool_tiny.models import tokenizer, weights_path
from xtool_tiny.scenes import open_scenes
from xtool_tiny.vocabulary import captions

MODELS = ("tiny-rn", "tiny-vit")
BUNDLED = EncoderOptions(pretrained="scenes", device="cpu")


def test_specs_need_no_torch() -> None:
    code = "import sys, xtool_tiny; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_short_merges_split_captions_as_the_full_ones_do() -> None:
    short, full = tokenizer(), SimpleTokenizer()
    for text in captions():
        pieces = [[model.decoder[token] for token in model.encode(text)] for model in (short, full)]
        assert pieces[0] == pieces[1]


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_small(name: str) -> None:
    assert weights_path(name).stat().st_size <= 8_000_000


@pytest.mark.parametrize("name", MODELS)
def test_free_text_and_images_become_unit_vectors(name: str) -> None:
    encoder = load(name, BUNDLED)
    text = encoder.encode_text(["an image of a dog.", "a purple gyroscope, naïve & 100 % new", ""])
    image = encoder.encode_image(torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    for vectors in (text, image):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))
    assert text.shape == (3, encoder.info.embed_dim)
    assert encoder.info.trained
    assert encoder.info.weights == "scenes"


@pytest.mark.parametrize("name", MODELS)
def test_final_maps_are_seven_by_seven_or_finer(name: str) -> None:
    encoder = load(name, BUNDLED)
    height, width = encoder.info.input_size
    stride = encoder.info.patch_size or 32
    assert min(height, width) // stride >= (14 if encoder.info.architecture == "vit" else 7)


@pytest.mark.parametrize("name", MODELS)
def test_names_are_told_apart(name: str) -> None:
    """The first 40 single-object scenes: far above the chance of one in 106."""
    encoder, scenes = load(name, BUNDLED), open_scenes(None, "single")
    text = encoder.encode_text([f"an image of a {names[0]}." for names in scenes.classes])
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.info.mean, encoder.info.std))
    hits = 0
    for index in range(40):
        sample = scenes[index]
        pixels = torch.frombuffer(bytearray(sample.open().tobytes()), dtype=torch.uint8).view(224, 224, 3)
        image = (pixels.permute(2, 0, 1).float() / 255 - mean) / std
        with torch.inference_mode():
            hits += int((encoder.encode_image(image[None]) @ text.T).argmax()) == sample.class_index
    assert hits >= 30
