"""An image classifier and a lexicon as one embedding space for photographs and texts.

An image is embedded as :mod:`xtool_timm.tower` does it. A class is its row of the classifier, bias included, less the
mean of all rows, which adds the same to every logit of an image, and scaled to length 1. A text is the weighted mean of
the classes that it means, scaled to length 1.

A text that is not known is the one direction in which no image has any extent, so its cosine is exactly 0 with every
image and every masked part of it: no evidence, and no gradient. Cosines of texts that are there are positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from xtool.loading import TextCache
from xtool.plugin import EncoderInfo, Layer, Understanding
from xtool_photo.text import TextSide
from xtool_timm.encoder import ClassifierEncoder
from xtool_timm.tower import ClassifierTower, class_vectors

__all__ = ["PhotoEncoder"]


class PhotoEncoder:
    """A classifier of timm over ImageNet's 1000 classes whose texts go through a lexicon."""

    def __init__(self, classifier: ClassifierEncoder, texts: TextSide, info: EncoderInfo) -> None:
        self._classifier = classifier
        self._texts = texts
        self._classes = _directions(classifier.visual)
        self._embedded = TextCache(info.embed_dim, classifier.device)
        self.info = info

    @property
    def visual(self) -> ClassifierTower:
        return self._classifier.visual

    @property
    def device(self) -> torch.device:
        return self._classifier.device

    @property
    def dtype(self) -> torch.dtype:
        return self._classifier.dtype

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the 1000 classes are called, in the order of the classifier's outputs."""
        return self._texts.class_names

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed float32 normalised pixels [B, 3, H, W] as unit vectors [B, D], float32, differentiable."""
        return self._classifier.encode_image(pixels)

    def encode_pooled(self, pixels: Tensor, masks: Tensor) -> Tensor:
        """Embed images with their last maps pooled under masks; see :class:`xtool.plugin.PoolsMasks`."""
        return self._classifier.encode_pooled(pixels, masks)

    def layer(self, name: str) -> Layer:
        """A layer of the image tower, as :mod:`xtool_timm` describes it."""
        layer = self._classifier.layer(name)
        # Images are embedded as the classifier embeds them; only texts are not.
        return layer if layer.cut is None else replace(layer, cut=replace(layer.cut, encoder=self))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors [T, D], float32; those that are not known are orthogonal to every image.

        Raises :class:`xtool.plugin.UsageError` for a single string, which would be read letter by letter.
        """
        return self._embedded.encode(texts, self._embed)

    def _embed(self, texts: Sequence[str]) -> Tensor:
        weights = torch.from_numpy(self._texts.weights(texts)).to(self._classes)
        vectors = weights @ self._classes
        vectors[~weights.any(dim=1), -1] = 1.0
        return F.normalize(vectors, dim=1)

    def understand(self, texts: Sequence[str]) -> list[Understanding]:
        """What each text was taken for, and whether it is known at all."""
        return [self._texts.understand(text) for text in texts]


@torch.no_grad()
def _directions(tower: ClassifierTower) -> Tensor:
    """Unit vectors [1000, D] of the classes. The last coordinate, which no image has, stays free for unknown texts."""
    vectors = class_vectors(tower.model.get_classifier())  # type: ignore[operator]
    vectors[:, -1] = 0.0
    return F.normalize(vectors - vectors.mean(dim=0), dim=1)
