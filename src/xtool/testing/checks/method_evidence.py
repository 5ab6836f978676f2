"""The check that no wrong orientation passes: evidence at a known place."""

from __future__ import annotations

from xtool.testing.checks.method_subject import MethodSubject, sound
from xtool.testing.compare_maps import peak
from xtool.testing.planted import CELL
from xtool.testing.setups import scene, texts
from xtool.testing.verdict import require

PLACES = ((1, 1), (6, 1), (2, 3), (7, 3))
"""Upper left cells (x, y) of patches of 2×2 cells; no transpose, flip or crop maps each of them to itself."""
ROOM = 0.75 * CELL
"""How far the peak may lie from the middle of the patch, in pixels: less than the cell that a lost token costs."""


def planted_evidence(subject: MethodSubject) -> None:
    """The map of a colour peaks where that colour is, and nowhere else: orientation, token order and crop are right."""
    encoder = subject.setup.encoder()
    for index, (x, y) in enumerate(PLACES):
        colour = ("red", "green", "blue")[index % 3]
        pixels = scene(encoder, {colour: (x, y, x + 2, y + 2)})
        heat = sound(subject, encoder, pixels, texts(encoder, (colour,))).maps[0, 0]
        found = peak(heat, encoder.info.input_size)
        centre = CELL * (x + 1), CELL * (y + 1)
        where = f"the only {colour} is at (x, y) = {centre} of an image of 80×48 pixels"
        if found is None:
            require(False, f"{where}; the map is constant")
            return
        place = f"({found[0]:.0f}, {found[1]:.0f})"
        off = max(abs(found[0] - centre[0]), abs(found[1] - centre[1]))
        require(off <= ROOM, f"{where}; the map [h, w] = {list(heat.shape)} peaks at {place}")
