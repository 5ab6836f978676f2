"""What the unruly plugin's specs point to."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field

from xtool.plugin import EncoderOptions, MethodConfig, Saliency, Sample
from xtool.testing.planted import COLOURS, PlantedCNN, planted_image

NAN = float("nan")


def _stop(error: BaseException) -> None:
    raise error


def _maps(pixels, text):
    return torch.ones(len(pixels), len(text), 4, 4)


MISBEHAVIOURS = {
    "nothing": lambda pixels, text: None,
    "list": lambda pixels, text: [[1.0]],
    "array": lambda pixels, text: Saliency(np.ones((1, len(text), 4, 4)), None),
    "flat": lambda pixels, text: Saliency(_maps(pixels, text).flatten(2), None),
    "empty": lambda pixels, text: Saliency(_maps(pixels, text)[..., :0], None),
    "fewer-texts": lambda pixels, text: Saliency(_maps(pixels, text)[:, 1:], None),
    "more-texts": lambda pixels, text: Saliency(_maps(pixels, text).repeat(1, 3, 1, 1), None),
    "more-images": lambda pixels, text: Saliency(_maps(pixels, text).repeat(2, 1, 1, 1), None),
    "complex": lambda pixels, text: Saliency(_maps(pixels, text).to(torch.complex64), None),
    "meta": lambda pixels, text: Saliency(_maps(pixels, text).to("meta"), None),
    "nan": lambda pixels, text: Saliency(_maps(pixels, text) * NAN, None),
    "infinite": lambda pixels, text: Saliency(_maps(pixels, text) / 0, None),
    "huge": lambda pixels, text: Saliency(_maps(pixels, text).double() * 1e300, None),
    "present-float": lambda pixels, text: Saliency(_maps(pixels, text), torch.ones(len(pixels), len(text))),
    "present-short": lambda pixels, text: Saliency(_maps(pixels, text), torch.ones(1, dtype=torch.bool)),
    "present-bool": lambda pixels, text: Saliency(_maps(pixels, text), True),
    "score-nan": lambda pixels, text: Saliency(_maps(pixels, text), None, torch.full((len(pixels), len(text)), NAN)),
    "score-short": lambda pixels, text: Saliency(_maps(pixels, text), None, torch.ones(1)),
    "raises": lambda pixels, text: _stop(RuntimeError("no luck")),
    "raises-silently": lambda pixels, text: _stop(ValueError()),
    "raises-at-length": lambda pixels, text: _stop(ValueError("long story " * 10_000)),
    "asserts": lambda pixels, text: _stop(AssertionError("never")),
    "exits": lambda pixels, text: _stop(SystemExit(0)),
    "no-memory": lambda pixels, text: _stop(MemoryError()),
    "no-memory-on-a-cpu": lambda pixels, text: Saliency(_maps(pixels, text).repeat(1, 1, 2**20, 2**20), None),
    "recursion": lambda pixels, text: MISBEHAVIOURS["recursion"](pixels, text),
}
"""By name: a function of pixels and text."""


class UnrulyConfig(MethodConfig):
    how: str = Field("nothing", description="A key of MISBEHAVIOURS.")
    first: int = Field(1, description="The call from which on it misbehaves; it behaves before.")


class Unruly:
    def __init__(self, config: UnrulyConfig) -> None:
        self.config = config
        self.calls = itertools.count(1)

    def explain(self, encoder, pixels, text):
        if next(self.calls) < self.config.first:
            return Saliency(_maps(pixels, text), None)
        return MISBEHAVIOURS[self.config.how](pixels, text)


class UnrulyEncoder(PlantedCNN):
    how = ""

    def encode_image(self, pixels):
        found = super().encode_image(pixels)
        if self.how == "nan-image":
            return found * NAN
        if self.how == "wide":
            return torch.cat([found, found], dim=1)
        if self.how == "no-tensor":
            return found.tolist()
        if self.how == "raises":
            raise RuntimeError("no luck")
        if self.how == "exits":
            raise SystemExit(0)
        return found

    def encode_text(self, texts):
        return super().encode_text(texts) * (NAN if self.how == "nan-text" else 1)


def load(name: str, options: EncoderOptions) -> UnrulyEncoder:
    encoder = UnrulyEncoder()
    encoder.how = name.removeprefix("unruly-")
    encoder._info = replace(encoder._info, name=name)
    return encoder


class Samples:
    classes = ()

    def __init__(self, how: str) -> None:
        self.how = how
        self.name = f"unruly:{how}"

    def __len__(self) -> int:
        return 6

    def fingerprint(self) -> str:
        return self.name

    def __getitem__(self, index: int) -> Sample:
        bad = index % 3 == 1
        if bad and self.how == "raises":
            raise KeyError("lost")
        if bad and self.how == "exits":
            raise SystemExit(0)
        if bad and self.how == "none":
            return None
        colour = list(COLOURS)[index % 3]
        box = (8 * (index % 3), 8, 8 * (index % 3) + 16, 32)
        boxes = np.array([box], dtype=np.float64)
        if bad and self.how == "nan-box":
            boxes = boxes * NAN
        if bad and self.how == "flat-box":
            boxes = boxes[0]
        return Sample(
            id=f"patch{index}.png",
            open=lambda: None if bad and self.how == "no-image" else planted_image({colour: box}),
            label=colour,
            synonyms=(colour,),
            boxes=boxes,
        )


def open_samples(data_dir, split) -> Samples:
    return Samples(split or "raises")
