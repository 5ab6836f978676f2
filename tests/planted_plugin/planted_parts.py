"""What the test plugin's specs point to."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from xtool.plugin import DataError, EncoderOptions, FeatureConfig, MethodConfig, Saliency, Sample
from xtool.testing.planted import COLOURS, PlantedCNN, planted_image


def load(name: str, options: EncoderOptions) -> PlantedCNN:
    return PlantedCNN(seed=None if options.pretrained else options.seed)


_images = itertools.count(1)
"""Images that :class:`ColourCAM` has seen, in this process."""


class ColourCAMConfig(FeatureConfig):
    power: float = Field(1.0, gt=0, description="Sharpens the map.")


class ColourCAM:
    def __init__(self, config: ColourCAMConfig, extractor) -> None:
        self.config = config
        self.extractor = extractor

    def explain(self, encoder, pixels, text) -> Saliency:
        if len(text) == 1:
            _pause_if_it_is_time()
        _linger(encoder, pixels)
        maps = self.extractor.extract(encoder, pixels).maps
        weights = text @ encoder.visual.proj.weight
        heat = torch.einsum("tc,bchw->bthw", weights, maps).relu() ** self.config.power
        scores = heat.amax(dim=(2, 3))
        return Saliency(heat, present=scores > 0.5, scores=scores)


def _pause_if_it_is_time() -> None:
    """At the image that the test chose: tell it, and wait for its signal."""
    if next(_images) == int(os.environ.get("PLANTED_PAUSE_AT", "0")):
        os.write(int(os.environ["PLANTED_TELL"]), b"paused")
        while True:
            time.sleep(1)


def _linger(encoder, pixels) -> None:
    """Where a test asked for it, spend a minute on passes of the encoder, and tell of each in a file."""
    if told := os.environ.get("PLANTED_LINGER"):
        for _ in range(600):
            encoder.encode_image(pixels)
            with Path(told).open("a") as stream:
                stream.write(".")
            time.sleep(0.1)


class Everywhere:
    def __init__(self, config: MethodConfig) -> None:
        self.config = config

    def explain(self, encoder, pixels, text) -> Saliency:
        return Saliency(torch.ones(len(pixels), len(text), 4, 4), present=None)


class Patches:
    """Sample i shows colour i mod 3 at a place that moves, and the next colour elsewhere; the third is absent."""

    classes = tuple((colour, f"{colour} thing") for colour in COLOURS)

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.name = "patches:broken" if broken else "patches:whole"

    def __len__(self) -> int:
        return 12

    def fingerprint(self) -> str:
        return self.name

    def __getitem__(self, index: int) -> Sample:
        colours = [list(COLOURS)[(index + shift) % 3] for shift in range(3)]
        x = 8 * (index % 3)
        boxes = {colours[0]: (x, 8, x + 16, 32), colours[1]: (40, 40, 56, 56)}
        name = f"patch{index}.png"

        def open_() -> object:
            if self.broken and index in (2, 5):
                raise DataError(name, "truncated")
            return planted_image(boxes)

        return Sample(
            id=name,
            open=open_,
            label=colours[0],
            synonyms=(colours[0], f"{colours[0]} thing"),
            boxes=np.array([boxes[colours[0]]], dtype=np.float64),
            class_index=index % 3,
            absent=colours[2],
            distractor=colours[1],
            open_mask=None if self.broken else lambda: np.pad(np.ones((24, 16), bool), ((8, 32), (x, 48 - x))),
        )


def open_patches(data_dir: Path | None, split: str | None) -> Patches:
    return Patches(split == "broken")
