"""The joint space: photographs, classes, texts, and texts that mean nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from xtool.image.pixels import fit_image, to_pixels
from xtool.plugin import Encoder, open_dataset
from xtool_photo.encoder import PhotoEncoder


def noise(size: int = 224) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_it_is_an_encoder_that_names_itself(encoder: PhotoEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.info.name == "photo"
    assert encoder.info.trained


@torch.no_grad()
def test_an_unknown_text_has_the_cosine_zero_with_every_image(encoder: PhotoEncoder) -> None:
    images = encoder.encode_image(torch.cat([noise(), torch.zeros(1, 3, 224, 224)]))
    unknown = encoder.encode_text(["asdfgh", "sadness", ""])
    assert torch.equal(images @ unknown.T, torch.zeros(3, 3))


def test_a_text_is_the_mean_direction_of_its_classes(encoder: PhotoEncoder) -> None:
    """Worked out from the classifier's rows: an elephant is half Indian (385), half African (386)."""
    classifier = encoder.visual.model.get_classifier()  # type: ignore[operator]
    rows = torch.cat([classifier.weight, classifier.bias[:, None]], dim=1).detach().double()
    rows = rows - rows.mean(dim=0)
    wanted = rows[385] / rows[385].norm() + rows[386] / rows[386].norm()
    found = encoder.encode_text(["an elephant"])[0].double()
    torch.testing.assert_close(found[:-1], wanted / wanted.norm(), rtol=1e-4, atol=1e-5)
    assert found[-1] == 0


@torch.no_grad()
def test_other_input_sizes_are_embedded(encoder: PhotoEncoder) -> None:
    assert encoder.encode_image(noise(320)).shape == (2, encoder.info.embed_dim)


@torch.no_grad()
def test_it_takes_384_pixels_and_masks_where_it_pools(encoder: PhotoEncoder) -> None:
    assert encoder.info.input_size == (384, 384)
    assert encoder.info.pools_masks
    found = encoder.encode_pooled(noise(384), torch.ones(2, 1, 12, 12))[:, 0]
    torch.testing.assert_close(found, encoder.encode_image(noise(384)), rtol=0, atol=1e-5)


def test_understanding_goes_with_the_texts(encoder: PhotoEncoder) -> None:
    raccoon, nothing = encoder.understand(["a raccoon", "asdfgh"])
    assert raccoon.known
    assert raccoon.nearest[0][0] == "lesser panda"
    assert not nothing.known


def test_the_text_side_needs_no_torch() -> None:
    code = "import sys; from xtool_photo.text import TextSide; from xtool_photo.lexicon import bundled; "
    code += "assert TextSide(bundled()).understand('dog').known; assert not {'torch', 'timm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@torch.no_grad()
def test_raccoons_are_raccoons_and_no_cars(encoder: PhotoEncoder, photographs: Path) -> None:
    dataset = open_dataset("voc", photographs / "raccoon-mini")
    pixels = [
        to_pixels(fit_image(dataset[i].open(), encoder.info, "squash"), encoder) for i in range(0, len(dataset), 2)
    ]
    images = torch.cat([encoder.encode_image(one.reshape(1, *one.shape[-3:])) for one in pixels])
    raccoon, car = (images @ encoder.encode_text(["raccoon", "car"]).T).T
    assert int((raccoon > car).sum()) >= 18  # of 20
