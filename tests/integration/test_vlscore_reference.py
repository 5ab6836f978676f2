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
class Some:
    """Some channels of an extractor's maps, so that a loop over them ends."""

    extractor: Any
    channels: list[int]

    def extract(self, encoder: Any, pixels: Tensor) -> FeatureMaps:
        features = self.extractor.extract(encoder, pixels)
        return FeatureMaps(features.maps[:, self.channels], features.embedding)


def picture(size: int = 224) -> Tensor:
    """Something with structure: noise of several scales."""
    generator = torch.Generator().manual_seed(5)
    layers = [
        F.interpolate(torch.randn(1, 3, n, n, generator=generator), (size, size), mode="bicubic") for n in (3, 9, 40)
    ]
    return torch.stack(layers).sum(dim=0)


@dataclass(frozen=True)
class Reference:
    masks: Tensor
    scores: Tensor
    base: float
    present: bool
    map: Tensor


def reference(encoder: xtool.contracts.protocols.Encoder, x: Tensor, maps: Tensor, text: Tensor) -> Reference:
    """The seed's code, one channel after the other: x [1, 3, H, W], maps [C, h, w], text [D]."""
    embed = encoder.encode_image
    masks, scores = [], []
    for low in maps:
        up = F.interpolate(low[None, None], tuple(x.shape[-2:]), mode="bilinear", align_corners=True)[0, 0]
        mask = (up - up.min()) / (up.max() - up.min() + 1e-7)
        masks.append(mask)
        scores.append(float(embed(mask * x)[0] @ text))
    base = float(embed(torch.zeros_like(x))[0] @ text)
    kept = [c for c, score in enumerate(scores) if score > base]
    saliency = torch.zeros(maps.shape[1:])
    if kept:
        weights = torch.softmax(torch.tensor([scores[c] - base for c in kept]), dim=0)
        for weight, c in zip(weights, kept, strict=True):
            saliency += weight * maps[c]
    return Reference(torch.stack(masks), torch.tensor(scores), base, bool(kept), saliency.relu())


CASES = [
    pytest.param("RN50", "spatial", range(0, 2048, 43), id="RN50"),
    pytest.param("ViT-B-16", "attention", range(12), id="ViT-B-16 attention"),
    pytest.param("ViT-B-16", "tokens", range(0, 768, 32), id="ViT-B-16 tokens"),
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
    extractor = Some(build_extractor(features, "auto", None, encoder.info), list(channels))
    (request,) = parse_methods(["vlscore:preset=paper"])
    text = encoder.encode_text(TEXTS)
    with torch.no_grad():
        maps = extractor.extract(encoder, x).maps
        found = vlscore.VLScore(request.config, extractor).explain(encoder, x, text)
        masked = embed_masked(encoder, x, maps)
        masks = scaled_masks(maps[0][:, None], (224, 224))[:, 0]
        for t in range(len(TEXTS)):
            expected = reference(encoder, x, maps[0], text[t])
            assert torch.allclose(masks, expected.masks, atol=1e-4)
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
    for t in (0, 7):
        with account(Kept()) as work, torch.no_grad():
            alone = method.explain(encoder, x, encoder.encode_text([texts[t]]))
            forwards.append(work.forwards)
        assert torch.allclose(alone.maps[0, 0], together.maps[0, t], atol=1e-6)
    assert forwards == [14, 14, 14]  # the features, the base, twelve heads
