"""Backgrounds of scenes: gradients, smooth noise, stripes, shapes, blurred clutter and plain grey."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from xtool_tiny.drawings import Drawings

__all__ = ["background"]


def background(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    """Paint one background: float RGB [size, size, 3] in 0–255."""
    painters = (_plain, _gradient, _noise, _stripes, _shapes, _clutter)
    painter = painters[int(rng.choice(len(painters), p=(0.12, 0.2, 0.22, 0.14, 0.14, 0.18)))]
    return painter(rng, size, crowd)


def _colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """A random colour, often pale: strong colours everywhere would be unlike any photograph."""
    colour = rng.uniform(0, 255, 3)
    return np.asarray(colour + rng.uniform(0, 0.8) * (colour.mean() - colour), np.float32)


def _plain(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    """Near the mean colour of the encoder's input: what score methods show around what they keep."""
    shade = np.asarray((123, 117, 104), np.float32) + np.float32(rng.normal(0, 4))
    return np.broadcast_to(shade, (size, size, 3)).copy()


def _ramp(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A coordinate in a random direction, about −1 to 1."""
    angle, line = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size, dtype=np.float32)
    return np.float32(np.cos(angle)) * line[None, :] + np.float32(np.sin(angle)) * line[:, None]


def _gradient(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    share = np.clip(0.5 + 0.5 * _ramp(rng, size) + np.float32(rng.normal(0, 0.2)), 0, 1)[..., None]
    return np.asarray(_colour(rng) * share + _colour(rng) * (1 - share), np.float32)


def _noise(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    cells = int(2 ** rng.uniform(1, 6))
    coarse = rng.standard_normal((cells, cells, 3), np.float32) * np.float32(rng.uniform(10, 60))
    coarse = coarse + (rng.uniform(0, 1) * (coarse.mean(-1, keepdims=True) - coarse)).astype(np.float32)
    return np.asarray(cv2.resize(coarse + _colour(rng), (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def _stripes(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    wave = np.sin(_ramp(rng, size) * np.float32(rng.uniform(4, 40)) + np.float32(rng.uniform(0, 6)))
    share = np.clip(0.5 + 0.5 * wave * np.float32(rng.uniform(0.5, 6)), 0, 1)[..., None]
    first = _colour(rng)
    second = first + (_colour(rng) - first) * np.float32(rng.uniform(0.2, 1))
    return np.asarray(first * share + second * (1 - share), np.float32)


def _shapes(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    canvas = _gradient(rng, size, crowd)
    for _ in range(int(rng.integers(2, 9))):
        centre, colour = rng.integers(0, size, 2), _colour(rng).tolist()
        extent = rng.integers(4, max(6, size // 4), 2)
        kind = rng.integers(3)
        if kind == 0:
            cv2.ellipse(canvas, centre.tolist(), extent.tolist(), rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            end = rng.integers(0, size, 2)
            cv2.line(canvas, centre.tolist(), end.tolist(), colour, int(rng.integers(1, 9)), cv2.LINE_AA)
        else:
            corners = centre + rng.integers(-extent.max(), extent.max() + 1, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)
    return canvas


def _clutter(rng: np.random.Generator, size: int, crowd: Drawings) -> NDArray[np.float32]:
    """Drawings blurred until nothing can be recognised: the texture of a busy place."""
    small, keys = size // 4, list(crowd)
    canvas = _gradient(rng, small, crowd)
    for _ in range(int(rng.integers(4, 12))):
        side = int(rng.integers(small // 5, small // 2))
        sprite = cv2.resize(crowd[keys[int(rng.integers(len(keys)))]], (side, side), interpolation=cv2.INTER_AREA)
        x, y = rng.integers(0, small - side + 1, 2)
        alpha = sprite[..., 3:].astype(np.float32) * (1 / 255)
        patch = canvas[y : y + side, x : x + side]
        canvas[y : y + side, x : x + side] = alpha * sprite[..., :3] + (1 - alpha) * patch
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(2.0, 3.5))
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
