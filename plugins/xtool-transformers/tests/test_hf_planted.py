"""On models whose evidence lies at a known place, one for each way of pooling, maps peak there."""

from __future__ import annotations

import pytest
import torch
from hf_planted import planted
from torch import Tensor

from xtool.engine.methods import build_method
from xtool.plugin import parse_methods
from xtool.testing.planted import CELL
from xtool.testing.setups import scene, texts
from xtool_transformers.encoder import TransformersEncoder

for needed in ("xtool_cam", "xtool_vit", "xtool_vlscore"):
    pytest.importorskip(needed, reason=f"needs the methods of {needed}")

BOXES = {"red": (1, 1, 3, 3), "green": (6, 2, 8, 5)}
"""In cells of the 6×10 grid: x0, y0, x1, y1."""
EVERYWHERE = ("gradcam", "layercam", "hirescam", "scorecam:temperature=0.1", "vlscore", "vlscore:mask_at=pool")
INSIDE = ("gradeclip", "chefer", "dense:preset=sclip", "gem", "prs")
WAYS = {
    "clip": (*EVERYWHERE, *INSIDE, "ablationcam", "legrad"),
    # Without a class token, these two are led astray by the constant entries that the planted weights need.
    "siglip": (*EVERYWHERE, *INSIDE),
    "align": (*EVERYWHERE, "ablationcam"),
}


@pytest.fixture(scope="module", params=WAYS)
def encoder(request: pytest.FixtureRequest) -> TransformersEncoder:
    return planted(request.param)


def maps_of(call: str, encoder: TransformersEncoder) -> Tensor:
    """[red, green] for an image with both."""
    (request,) = parse_methods([call])
    method = build_method(request, encoder.info)
    with torch.no_grad():
        return method.explain(encoder, scene(encoder, BOXES), texts(encoder, ("red", "green"))).maps[0]


def test_it_knows_the_colours(encoder: TransformersEncoder) -> None:
    names = ("red", "green", "zebra")
    with torch.no_grad():
        images = encoder.encode_image(torch.cat([scene(encoder, {name: BOXES[name]}) for name in ("red", "green")]))
        scores = images @ texts(encoder, names).T
    assert scores.argmax(dim=1).tolist() == [0, 1]


def test_every_method_peaks_where_the_colour_is(encoder: TransformersEncoder) -> None:
    missed = []
    for call in WAYS[encoder.info.name.removeprefix("planted-")]:
        for found, (name, (x0, y0, x1, y1)) in zip(maps_of(call, encoder), BOXES.items(), strict=True):
            height, width = found.shape
            row, column = divmod(int(found.argmax()), width)
            x, y = (column + 0.5) / width * 10, (row + 0.5) / height * 6
            if not (x0 <= x <= x1 and y0 <= y <= y1):
                missed.append(f"{call}: {name} at cell ({x:.1f}, {y:.1f})")
    assert missed == []


def test_pooled_under_a_mask_a_colour_is_there_where_the_mask_shows_it_and_not_elsewhere(
    encoder: TransformersEncoder,
) -> None:
    masks = torch.zeros(1, 2, 6, 10)
    for index, (x0, y0, x1, y1) in enumerate(BOXES.values()):
        masks[0, index, y0:y1, x0:x1] = 1.0
    assert encoder.info.input_size == (6 * CELL, 10 * CELL)
    with torch.no_grad():
        scores = encoder.encode_pooled(scene(encoder, BOXES), masks)[0] @ texts(encoder, ("red", "green")).T
    assert scores.argmax(dim=1).tolist() == [0, 1]
    assert float((scores.diagonal() - scores.flip(1).diagonal()).min()) > 0.2
