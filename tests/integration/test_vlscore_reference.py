"""``vlscore:preset=paper`` on the true architectures against a slow reference written from the seed's definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import xtool
from xtool.contracts.protocols import FeatureMaps
from xtool.engine.masking import embed_masked
from xtool.engine.masks import scaled_masks
from xtool.engine.methods import parse_methods
from xtool.engine.work import Kept, account

pytest.importorskip("xtool_clip", reason="needs the plugin xtool-clip")
vlscore = pytest.importorskip("xtool_vlscore.method", reason="needs the plugin xtool-vlscore")

TEXTS = ["an image of a dog.", "an image of a fire engine."]


@dataclass(frozen=True)
class Given:
    """An extractor of features that are there, and so the very same each time."""

    features: FeatureMaps

    def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
        return self.features


def picture(size: int = 224) -> Tensor:
    """Something with structure: noise of several scales."""
    generator = torch.Generator().manual_seed(5)
    layers = [
        F.interpolate(torch.randn(1, 3, n, n, generator=generator), (size, size), mode="bicubic") for n in (3, 9, 40)
    ]
    return torch.stack(layers).sum(dim=0)


@dataclass(frozen=True)
class Masked:
    masks: Tensor
    embeddings: Tensor
    base: Tensor


def masked_images(encoder: xtool.contracts.protocols.Encoder, x: Tensor, maps: Tensor) -> Masked:
    """The seed's code, one channel after the other: x [1, 3, H, W], maps [C, h, w]."""
    masks, embeddings = [], []
    for low in maps:
        up = F.interpolate(low[None, None], tuple(x.shape[-2:]), mode="bilinear", align_corners=True)[0, 0]
        mask = (up - up.min()) / (up.max() - up.min() + 1e-7)
        masks.append(mask)
        embeddings.append(encoder.encode_image(mask * x)[0])
    return Masked(torch.stack(masks), torch.stack(embeddings), encoder.encode_image(torch.zeros_like(x))[0])


@dataclass(frozen=True)
class Reference:
    scores: Tensor
    base: float
    present: bool
    map: Tensor


def reference(masked: Masked, maps: Tensor, text: Tensor) -> Reference:
    """What the seed's code makes of them for one text [D]."""
    scores = [float(embedding @ text) for embedding in masked.embeddings]
    base = float(masked.base @ text)
    kept = [c for c, score in enumerate(scores) if score > base]
    saliency = torch.zeros(maps.shape[1:])
    if kept:
        weights = torch.softmax(torch.tensor([scores[c] - base for c in kept]), dim=0)
        for weight, c in zip(weights, kept, strict=True):
            saliency += weight * maps[c]
    return Reference(torch.tensor(scores), base, bool(kept), saliency.relu())


CASES = [
    pytest.param("RN50", "spatial", range(0, 2048, 120), id="RN50"),
    pytest.param("ViT-B-16", "attention", range(12), id="ViT-B-16 attention"),
    pytest.param("ViT-B-16", "tokens", range(0, 768, 45), id="ViT-B-16 tokens"),
]


@pytest.fixture(scope="module")
def encoders() -> dict[str, Any]:
    return {name: xtool.load_encoder(name, pretrained=None, seed=0, device="cpu") for name in ("RN50", "ViT-B-16")}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "features", "channels"), CASES)
def test_masks_scores_and_map_equal_the_reference(
    encoders: dict[str, Any], name: str, features: str, channels: range
) -> None:
    from xtool.engine.features import build_extractor

    encoder, x = encoders[name], picture()
    (request,) = parse_methods(["vlscore:preset=paper"])
    text = encoder.encode_text(TEXTS)
    with account(Kept()), torch.no_grad():  # what the method embeds is looked at below, not embedded again
        every = build_extractor(features, "auto", None, encoder.info).extract(encoder, x)
        maps = every.maps[:, list(channels)]  # some, so that a loop over them ends
        given = Given(FeatureMaps(maps, every.embedding))
        found = vlscore.VLScore(request.config, given).explain(encoder, x, text)
        masked = embed_masked(encoder, x, maps)
        masks = scaled_masks(maps[0][:, None], (224, 224))[:, 0]
        slow = masked_images(encoder, x, maps[0])
        assert torch.allclose(masks, slow.masks, atol=1e-4)
        for t in range(len(TEXTS)):
            expected = reference(slow, maps[0], text[t])
            assert torch.allclose(masked.embeddings[0] @ text[t], expected.scores, atol=1e-4)
            assert abs(float(masked.base[0] @ text[t]) - expected.base) < 1e-4
            assert bool(found.present[0, t]) == expected.present
            # The maps of random weights are tiny; compare on the scale of the map itself.
            scale = float(expected.map.max()) or 1.0
            assert torch.allclose(found.maps[0, t] / scale, expected.map / scale, atol=1e-4)


@pytest.mark.slow
def test_eight_texts_cost_the_forwards_of_one_on_a_true_vit(encoders: dict[str, Any]) -> None:
    from xtool.engine.features import build_extractor

    encoder, x = encoders["ViT-B-16"], picture()
    (request,) = parse_methods(["vlscore"])
    method = vlscore.VLScore(request.config, build_extractor("attention", "auto", None, encoder.info))
    texts = [f"an image of a {name}." for name in ("dog", "cat", "car", "tree", "cup", "boat", "bird", "shoe")]
    forwards = []
    with account(Kept()) as work, torch.no_grad():
        together = method.explain(encoder, x, encoder.encode_text(texts))
        forwards.append(work.forwards)
    with account(Kept()) as work, torch.no_grad():
        alone = method.explain(encoder, x, encoder.encode_text(texts[7:]))
        forwards.append(work.forwards)
    assert torch.allclose(alone.maps[0, 0], together.maps[0, 7], atol=1e-6)
    assert forwards == [14, 14]  # the features, the base, twelve heads
