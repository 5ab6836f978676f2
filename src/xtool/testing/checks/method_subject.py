"""A saliency method under test: how it is built and called, and what several checks compute alike."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xtool.contracts.config import FeatureConfig, MethodConfig
from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod
from xtool.contracts.registry import resolve
from xtool.contracts.specs import SaliencyMethodSpec
from xtool.engine.encoders import counted
from xtool.engine.features import SharedExtractor, build_extractor
from xtool.engine.methods import MethodRequest
from xtool.engine.refine import refined
from xtool.testing.compare_maps import same
from xtool.testing.setups import Setup, texts, two_scenes
from xtool.testing.verdict import NotApplicable


@dataclass(frozen=True, slots=True)
class MethodSubject:
    """A method on one planted encoder."""

    request: MethodRequest
    setup: Setup

    @property
    def spec(self) -> SaliencyMethodSpec:
        return self.request.provided.spec

    def build(self, encoder: Encoder, **options: Any) -> SaliencyMethod:
        """The method as the core builds it, with more options if given."""
        config = self.request.config.model_validate({**self.request.config.model_dump(), **options})
        factory = resolve(self.spec.factory)
        if "features" not in self.spec.requires:
            method: SaliencyMethod = factory(config)
            return refined(method, config, encoder.info)
        with_features: SaliencyMethod = factory(config, self._extractor(config, encoder))
        return refined(with_features, config, encoder.info)

    def _extractor(self, config: MethodConfig, encoder: Encoder) -> Any:
        assert isinstance(config, FeatureConfig), "a method that requires features must have a FeatureConfig"
        if config.features == "auto" and config.layer == "auto":
            return SharedExtractor(self.setup.extractor(), ("planted", "auto"), config.pca, config.clusters)
        return build_extractor(config.features, config.layer, config.pca, encoder.info, clusters=config.clusters)

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor, **options: Any) -> Saliency:
        """Build the method and call it as the core does: without gradients, on an encoder that is counted."""
        with torch.no_grad():
            return self.build(encoder, **options).explain(counted(encoder), pixels, text)


def usual(subject: MethodSubject) -> tuple[Encoder, Tensor, Tensor]:
    """A fresh encoder, two images and three texts."""
    encoder = subject.setup.encoder()
    return encoder, two_scenes(encoder), texts(encoder)


def sound(subject: MethodSubject, encoder: Encoder, pixels: Tensor, text: Tensor, **options: Any) -> Saliency:
    """What the method answers. Raises :class:`NotApplicable` where its shape is wrong: a check of its own says so."""
    saliency = subject.explain(encoder, pixels, text, **options)
    if wrong_shape(saliency, encoder, pixels, text):
        raise NotApplicable("cannot be checked before shape_and_dtype passes")
    return replace(saliency, maps=saliency.maps.float().nan_to_num())


def steady(subject: MethodSubject, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
    """The same, and :class:`NotApplicable` for a method that answers differently each time."""
    with random_state(1):
        first = sound(subject, encoder, pixels, text)
    with random_state(2):
        second = sound(subject, encoder, pixels, text)
    if not same(first.maps, second.maps):
        raise NotApplicable("cannot be checked before deterministic passes")
    return first


def wrong_shape(saliency: Any, encoder: Encoder, pixels: Tensor, text: Tensor) -> str:
    """What is wrong with the shapes and dtypes of a saliency; empty if nothing is."""
    if not isinstance(saliency, Saliency):
        return f"explain returned a {type(saliency).__name__}, not an xtool.contracts.protocols.Saliency"
    wanted = (len(pixels), text.shape[-2])
    maps, present, scores = saliency.maps, saliency.present, saliency.scores
    if maps.ndim != 4 or tuple(maps.shape[:2]) != wanted or 0 in maps.shape:
        return f"maps must be [{wanted[0]} images, {wanted[1]} texts, h, w], not {list(maps.shape)}"
    if maps.dtype != torch.float32:
        return f"maps must be float32, not {maps.dtype}"
    if present is not None and (tuple(present.shape) != wanted or present.dtype != torch.bool):
        return f"present must be {list(wanted)} bool or None, not {list(present.shape)} {present.dtype}"
    if scores is not None and (tuple(scores.shape) != wanted or scores.dtype != torch.float32):
        return f"scores must be {list(wanted)} float32 or None, not {list(scores.shape)} {scores.dtype}"
    if maps.device != encoder.device:
        return f"maps must be on {encoder.device}, where the encoder is, not on {maps.device}"
    if maps.requires_grad:
        return "maps are still attached to a graph; detach them"
    return ""


@contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Another state of the global random numbers, which are put back afterwards."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])
