"""A text's answer does not depend on the texts beside it: every method, reduction and extractor, on the bundled models.

Sample 5 of ``scenes:test`` has 44 feature maps in tiny-rn's default layer that are the same everywhere, and as masks
score what the base image scores: whether such a map "beats the base" was once a matter of rounding.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

import xtool
from xtool.contracts.protocols import Encoder
from xtool.contracts.registry import registry
from xtool.engine.features import build_extractor
from xtool.engine.masking import embed_masked
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.work import Kept, account
from xtool.errors import UsageError
from xtool.image.pixels import fit_image, to_pixels

for plugin in ("xtool_clip", "xtool_tiny", "xtool_cam", "xtool_vlscore"):
    pytest.importorskip(plugin, reason=f"needs the plugin {plugin.replace('_', '-')}")

TEXTS = [f"an image of a {name}." for name in ("dog", "tree", "teapot")]
KEPT = Kept()
"""Masked embeddings are the same for all of the options below; they are made once."""

RN = (
    "vlscore",
    "vlscore:preset=paper",
    "vlscore:preset=fast",
    "vlscore:cap=false",
    "vlscore:contrast=false",
    "vlscore:softmax=false",
    "vlscore:softmax=false:shift=false",
    "vlscore:present_above=base",
    "vlscore:stop_at=0.9",
    "vlscore:top_k=100:cap=false",
    "vlscore:top_k=23:importance=gradient",
    "vlscore:clusters=20",
    "vlscore:pca=8",
    "scorecam",
    "scorecam:temperature=0.05",
)


@cache
def bundled(name: str) -> tuple[Encoder, Tensor, Tensor]:
    encoder = xtool.load_encoder(name, device="cpu")
    pixels = to_pixels(fit_image(xtool.open_dataset("scenes:test")[5].open(), encoder.info, "squash"), encoder)
    return encoder, pixels, encoder.encode_text(TEXTS)


def assert_texts_equal_singles(encoder: Encoder, pixels: Tensor, text: Tensor, label: str) -> None:
    (request,) = parse_methods([label])
    try:
        method = build_method(request, encoder.info)
        with account(KEPT), torch.no_grad():
            together = method.explain(encoder, pixels, text)
            alone = [method.explain(encoder, pixels, one[None]) for one in text]
    except UsageError as refused:
        pytest.skip(str(refused))
    for index, one in enumerate(alone):
        scale = float(one.maps.abs().max()) or 1.0
        assert float((one.maps[:, 0] - together.maps[:, index]).abs().max()) <= 1e-5 * scale
        if one.present is not None and together.present is not None:
            assert torch.equal(one.present[:, 0], together.present[:, index])
        if one.scores is not None and together.scores is not None:
            assert torch.allclose(one.scores[:, 0], together.scores[:, index], atol=1e-6, rtol=0)


def test_the_scene_has_the_dead_maps_that_this_is_about() -> None:
    encoder, pixels, _ = bundled("tiny-rn")
    with account(KEPT), torch.no_grad():
        maps = build_extractor("auto", "auto", None, encoder.info).extract(encoder, pixels).maps
    assert int((maps.amax(dim=(2, 3)) == maps.amin(dim=(2, 3))).sum()) == 44


@pytest.mark.slow
@pytest.mark.parametrize("label", RN)
def test_a_text_alone_gets_the_answer_that_it_gets_among_three(label: str) -> None:
    assert_texts_equal_singles(*bundled("tiny-rn"), label)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tiny-rn", "tiny-vit"])
@pytest.mark.parametrize("features", sorted(item.spec.name for item in registry().feature_extractors))
def test_the_same_on_every_feature_extractor(encoder: str, features: str) -> None:
    assert_texts_equal_singles(*bundled(encoder), f"vlscore:features={features}")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tiny-rn", "tiny-vit"])
@pytest.mark.parametrize("method", sorted(item.spec.name for item in registry().saliency_methods))
def test_the_same_for_every_method(encoder: str, method: str) -> None:
    if method in ("vlscore", "scorecam"):
        pytest.skip("above")
    assert_texts_equal_singles(*bundled(encoder), method)


def test_dead_maps_add_exactly_nothing_to_the_base_score() -> None:
    encoder, pixels, text = bundled("tiny-rn")
    maps = torch.stack([torch.full((1, 4, 4), value) for value in (0.0, 1.0, -3.0)], dim=1)
    masked = embed_masked(encoder, pixels, maps)
    for some in (text, text[:1], text[1:3]):
        assert torch.equal(masked.scores(some)[1], torch.zeros(1, len(some), 3))
