"""Models with random weights that behave like trained ones, an image to show them, and part of their feature maps."""

from __future__ import annotations

import copy
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.plan import Dtype, Plan
from xtool.contracts.protocols import Encoder, EncoderInfo, FeatureExtractor, FeatureMaps
from xtool.contracts.registry import registry, resolve
from xtool.engine.encoders import load_encoder
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.work import shared
from xtool.image.files import open_image
from xtool.image.pixels import FittedImage, fit_image, to_pixels

TEXT = "an image of a dog."
CALIBRATION = 16
"""Scenes that batch norms of a random-weight model get their statistics from."""


@cache
def encoder(
    name: str, *, device: str = "cpu", dtype: Dtype = "float32", compiled: bool = False, weights: str | None = None
) -> Encoder:
    """A bundled model as it was trained, any other with :func:`random_weights`; each is loaded once."""
    return load_encoder(name, pretrained=weights or weights_of(name), device=device, dtype=dtype, compile=compiled)


@cache
def weights_of(name: str) -> str:
    """What to give as ``pretrained`` for :func:`encoder`."""
    if name == "photo" or name.startswith("tiny-"):
        return str(registry().encoders.find(name).spec.default_pretrained)
    return "none" if _as_initialised else random_weights(name)


def take_weights_as_initialised() -> None:
    """From here on random weights are open_clip's own, of which :func:`random_weights` says what is wrong with them."""
    global _as_initialised
    _as_initialised = True


_as_initialised = False


@cache
def random_weights(name: str) -> str:
    """A checkpoint, for as long as the program runs, of random weights under which every layer of a CNN does something.

    open_clip starts the last batch norm of each residual block at zero, and all of them with statistics that fit no
    data. The tower is then a shallow one, half of its feature maps are dead, which a mask engine skips, and a masked
    image scores what the whole one scores: nothing could be compared on it. Here the scale is one and the statistics
    are those of some scenes.
    """
    loaded: Any = load_encoder(name, pretrained=None, seed=0, device="cpu")
    tower: nn.Module = loaded.visual
    norms = {key: module for key, module in tower.named_modules() if isinstance(module, nn.BatchNorm2d)}
    if norms:
        with torch.no_grad():
            for key, norm in norms.items():
                norm.momentum = None  # the mean over batches, and there is one
                if key.endswith("bn3"):
                    nn.init.ones_(norm.weight)
                norm.train()
            tower(torch.cat([to_pixels(scene(index, loaded.info), loaded) for index in range(CALIBRATION)]))
    file = _folder() / f"{name}.pt"
    torch.save(loaded.model.state_dict(), file)
    return str(file)


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="xtool-speed-")
    _kept.append(folder)  # removed when the program ends
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def tower(name: str, *, device: str, dtype: Dtype) -> nn.Module:
    """The encoder's own image tower as its library gives it, in this dtype: what anybody would call bare."""
    held: Any = encoder(name, device=device)
    return copy.deepcopy(held.visual).eval().to(getattr(torch, dtype))


@cache
def scenes() -> Any:
    """The bundled data set."""
    return resolve(registry().datasets.find("scenes").spec.factory)()


def scene(index: int, info: EncoderInfo) -> FittedImage:
    """A bundled scene at an encoder's input size."""
    return fit_image(scenes()[index].open(), info, "squash")


def photograph(plan: Plan, encoder: Encoder) -> Tensor:
    """Pixels [1, 3, H, W] of the plan's photograph, or of a bundled scene."""
    fitted = scene(0, encoder.info) if plan.photo is None else fit_image(open_image(plan.photo), encoder.info, "squash")
    return to_pixels(fitted, encoder)


def method(label: str, info: EncoderInfo, maps: int | None = None) -> Any:
    """A method, built as the program builds it; with ``maps``, one that scores feature maps scores only the first."""
    built = build_method(parse_methods([label])[0], info)
    plugins_own = innermost(built)
    if maps is not None and hasattr(plugins_own, "extractor"):
        plugins_own.extractor = FirstMaps(plugins_own.extractor, maps)
    return built


def innermost(built: Any) -> Any:
    """The plugin's own method, inside what the program builds around it."""
    while hasattr(built, "method"):
        built = built.method
    return built


class FirstMaps:
    """The first maps of another extractor."""

    def __init__(self, extractor: FeatureExtractor, maps: int) -> None:
        self._extractor = extractor
        self._maps = maps

    def extract(self, encoder: Encoder, pixels: Tensor) -> FeatureMaps:
        """See :meth:`xtool.plugin.FeatureExtractor.extract`."""
        whole = self._extractor.extract(encoder, pixels)
        # Shared, as methods share the masked embeddings only of the very same maps.
        return shared(
            ("first", self._maps), (whole,), lambda: FeatureMaps(whole.maps[:, : self._maps], whole.embedding)
        )


def feature_maps(encoder: Encoder, pixels: Tensor) -> Tensor:
    """The maps [1, C, h, w] that the score methods of this encoder mask with."""
    with torch.no_grad():
        maps: Tensor = innermost(method("scorecam", encoder.info)).extractor.extract(encoder, pixels).maps
    return maps
