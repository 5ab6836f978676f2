"""Compose scenes: named drawings on varied backgrounds, with the exact visible box and mask of each object.

Needs OpenCV (``xtool-saliency[wsol]``); only making scenes and training do, reading them does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xtool_tiny.backgrounds import background
from xtool_tiny.drawings import SIDE, Drawings

__all__ = ["Placed", "Recipe", "Scene", "compose"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What kind of scenes to compose."""

    size: int = 224
    """Side of the square image in pixels."""
    counts: tuple[float, ...] = (0.3, 0.3, 0.25, 0.15)
    """Probability of 1, 2, … objects."""
    sides: tuple[float, float] = (56.0, 112.0)
    """Range of an object's longest side before rotation, in pixels."""
    angle: float = 25.0
    """Largest rotation in degrees, either way."""
    overlap: float = 0.15
    """Largest share of the smaller of two boxes that may be common to both."""
    repeat: float = 0.12
    """Probability that an object after the first shows the same thing as the first."""
    jpeg: float = 0.3
    """Probability of JPEG artefacts (the sealed scenes are JPEG files anyway)."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One object of a scene."""

    thing: str
    vendor: str
    box: tuple[int, int, int, int]
    """Half-open (x0, y0, x1, y1) of the visible pixels."""
    mask: NDArray[np.bool_]
    """[size, size], what is visible of it."""


@dataclass(frozen=True, slots=True)
class Scene:
    """An image and what is in it."""

    image: NDArray[np.uint8]
    """[size, size, 3] RGB."""
    objects: tuple[Placed, ...]


def compose(
    rng: np.random.Generator,
    drawings: Drawings,
    recipe: Recipe,
    *,
    first: str | None = None,
    crowd: Drawings | None = None,
) -> Scene:
    """Make one scene.

    Args:
        rng: The only source of chance: one state, one scene.
        drawings: What objects are drawn from.
        recipe: What kind of scene.
        first: The thing of the first object; any, where ``None``.
        crowd: Drawings for the blurred clutter of backgrounds; ``drawings`` where ``None``.
    """
    keys = list(drawings)
    canvas = background(rng, recipe.size, crowd or drawings)
    count = 1 + int(rng.choice(len(recipe.counts), p=recipe.counts))
    boxes: list[tuple[int, int, int, int]] = []
    layers: list[tuple[tuple[str, str], tuple[int, int, int, int], NDArray[np.float32]]] = []
    for index in range(count):
        same = first if index == 0 else layers[0][0][1] if layers and rng.random() < recipe.repeat else None
        key = _pick(rng, keys, same)
        stretch = 1.2 if count == 1 else 1.0
        sprite = _sprite(rng, drawings[key], stretch * rng.uniform(*recipe.sides), recipe.angle)
        if (box := _place(rng, sprite.shape[:2], boxes, recipe)) is None:
            continue
        x0, y0, x1, y1 = box
        boxes.append(box)
        layers.append((key, box, sprite[..., 3]))
        alpha = sprite[..., 3:] * (1 / 255)
        patch = canvas[y0:y1, x0:x1]
        canvas[y0:y1, x0:x1] = sprite[..., :3] + (1 - alpha) * patch
    return Scene(_photograph(rng, canvas, recipe.jpeg), _visible(layers, recipe.size))


def _pick(rng: np.random.Generator, keys: list[tuple[str, str]], thing: str | None) -> tuple[str, str]:
    if thing is not None:
        keys = [key for key in keys if key[1] == thing]
    return keys[int(rng.integers(len(keys)))]


def _sprite(rng: np.random.Generator, drawing: NDArray[np.uint8], side: float, angle: float) -> NDArray[np.float32]:
    """Scale, turn, flip and recolour a drawing: premultiplied float RGBA [h, w, 4] in 0–255, cropped to its alpha."""
    scale, degrees = side / SIDE, rng.uniform(-angle, angle)
    rgba = drawing[:, ::-1] if rng.random() < 0.5 else drawing
    if scale < 0.6:  # bilinear sampling alone would alias
        rgba, scale = cv2.resize(rgba, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 2 * scale
    height, width = rgba.shape[:2]
    colour = rgba.astype(np.float32)
    colour[..., :3] = _recolour(rng, colour[..., :3])
    colour[..., :3] *= colour[..., 3:] * (1 / 255)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    out = int(np.ceil(width * cos + height * sin)), int(np.ceil(width * sin + height * cos))
    turn[:, 2] += (out[0] - width) / 2, (out[1] - height) / 2
    turned = cv2.warpAffine(colour, turn, out, flags=cv2.INTER_LINEAR)
    solid = turned[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return np.asarray(turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _recolour(rng: np.random.Generator, colour: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shift brightness, contrast, saturation and a little hue, so that colour alone does not name a thing."""
    grey = np.full((3, 3), 1 / 3)
    roll = np.roll(np.eye(3), int(rng.integers(1, 3)), axis=0)
    mix = (1 - (hue := rng.uniform(0, 0.2))) * np.eye(3) + hue * roll
    matrix = mix + rng.uniform(-0.2, 0.35) * (grey - np.eye(3))
    matrix *= rng.uniform(0.8, 1.2)
    shifted = colour @ matrix.T.astype(np.float32) + np.float32(rng.normal(0, 8))
    return np.asarray(np.clip(shifted, 0, 255), np.float32)


def _place(
    rng: np.random.Generator, shape: tuple[int, ...], taken: list[tuple[int, int, int, int]], recipe: Recipe
) -> tuple[int, int, int, int] | None:
    """Find a place that covers little of the others; ``None`` after 20 tries."""
    height, width = shape
    if height > recipe.size or width > recipe.size:
        return None
    for _ in range(20):
        x0 = int(rng.integers(recipe.size - width + 1))
        y0 = int(rng.integers(recipe.size - height + 1))
        box = (x0, y0, x0 + width, y0 + height)
        if all(_common(box, other) <= recipe.overlap for other in taken):
            return box
    return None


def _common(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(0, width) * max(0, height) / smaller


def _photograph(rng: np.random.Generator, canvas: NDArray[np.float32], jpeg: float) -> NDArray[np.uint8]:
    """Exposure, tint, blur, noise and JPEG artefacts of the whole image."""
    gain = rng.uniform(0.85, 1.15) * rng.normal(1, 0.04, 3)
    image = canvas * gain.astype(np.float32) + np.float32(rng.normal(0, 8))
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.3:
        image += rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 8))
    pixels: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < jpeg:
        quality = int(rng.integers(40, 95))
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return pixels


def _visible(
    layers: list[tuple[tuple[str, str], tuple[int, int, int, int], NDArray[np.float32]]], size: int
) -> tuple[Placed, ...]:
    """Masks from the top layer down: what a later object covers is not visible."""
    covered = np.zeros((size, size), bool)
    objects: list[Placed] = []
    for (vendor, thing), (x0, y0, x1, y1), alpha in reversed(layers):
        mask = np.zeros((size, size), bool)
        mask[y0:y1, x0:x1] = alpha > 127
        mask &= ~covered
        covered |= mask
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        objects.append(Placed(thing, vendor, box, mask))
    return tuple(reversed(objects))
