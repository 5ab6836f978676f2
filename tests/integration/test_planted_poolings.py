"""Towers that pool in different ways, or have tokens without a place: each map peaks where its colour was painted.

A method that took a register for a patch, or read the class token's row where there is none, would point elsewhere.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from xtool.contracts.registry import registry, resolve
from xtool.engine.methods import build_method, parse_methods
from xtool.plugin import LayerFeatures
from xtool.testing import PlantedViT
from xtool.testing.planted import CELL
from xtool.testing.setups import scene

TOWERS: dict[str, dict[str, Any]] = {
    "class token": {},
    "class token, registers": {"registers": 3},
    "mean": {"pooling": "mean"},
    "mean, registers": {"pooling": "mean", "registers": 3},
    "attention": {"pooling": "attention"},
    "attention, registers": {"pooling": "attention", "registers": 3},
}
PATCHES = {"red": (1, 1, 3, 3), "green": (6, 2, 9, 4)}
BLIND = {"rollout", "rawattention", "meanmap", "eigencam", "random", "center"}
"""They do not read the text."""
ASKED_AS = {
    # By default little information is dear enough to be left out of a picture this simple.
    "m2ib": "m2ib:beta=1",
    # Sinks are where the empty text is high, and to the planted tower that is a text like any other.
    "legrad": "legrad:sinks=none",
}
ALONE = {"layercam"}
"""Asked about a picture of one colour: under a pool by attention it shows every colour that is asked for."""


def methods() -> list[str]:
    names = [item.spec.name for item in registry().saliency_methods if "vit" in item.spec.architectures]
    return [ASKED_AS.get(name, name) for name in names if name not in BLIND]


@pytest.mark.parametrize("kind", TOWERS)
def test_its_description_is_what_the_tower_computes(kind: str) -> None:
    for seed in (None, 3):
        encoder = PlantedViT(seed=seed, **TOWERS[kind])
        layer, pixels = encoder.layer("auto"), scene(encoder, PATCHES)
        seen: list[torch.Tensor] = []
        handle = layer.module.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output))
        with torch.no_grad():
            expected = encoder.visual(pixels)
            tokens, pooling = seen[0], layer.pooling
            shares = pooling.shares(tokens)
            torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[:2]))
            torch.testing.assert_close(pooling.embed(tokens), expected, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(pooling.embed_shared(tokens, shares), expected, rtol=1e-4, atol=1e-4)
            assert tokens.shape[1] == layer.layout.tokens  # type: ignore[attr-defined]
        handle.remove()


# Those with registers are the hardest, and stand for the others where tests must be quick.
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if "registers" in kind else pytest.mark.slow) for kind in TOWERS]
)
def test_every_method_s_map_peaks_where_the_colour_was_painted(kind: str) -> None:
    names, wrong = methods(), []
    assert {"legrad:sinks=none", "dense", "chefer", "gradcam", "vlscore"} <= set(names)
    for name in names:
        pictures = [{colour: box} for colour, box in PATCHES.items()] if name in ALONE else [PATCHES]
        for picture in pictures:
            encoder = PlantedViT(**TOWERS[kind])
            pixels, text = scene(encoder, picture), encoder.encode_text(tuple(picture))
            with torch.no_grad():
                maps = method(name, encoder).explain(encoder, pixels, text).maps[0]
            found = zip(maps, picture.items(), strict=True)
            wrong += [(name, colour) for heat, (colour, box) in found if not inside(heat, box)]
    assert not wrong


def method(name: str, encoder: PlantedViT) -> Any:
    (request,) = parse_methods([name])
    if "features" not in request.provided.spec.requires:
        return build_method(request, encoder.info)
    return resolve(request.provided.spec.factory)(request.config, LayerFeatures())


def inside(heat: torch.Tensor, box: tuple[int, int, int, int]) -> bool:
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    x, y = (column + 0.5) / heat.shape[1] * 80 / CELL, (row + 0.5) / heat.shape[0] * 48 / CELL
    return bool(heat.std() > 0) and box[0] < x < box[2] and box[1] < y < box[3]
