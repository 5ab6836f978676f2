"""Texts before an encoder: their embeddings, each made once, and which class of a data set an image ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from xtool.engine.prompts import embed_labels
from xtool.engine.work import Kept
from xtool.errors import PluginError, blamed
from xtool.image.pixels import FittedImage, to_pixels
from xtool.metrics.topk import distinct_classes, rank_of

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, Sample
    from xtool.evaluator.at_once import AtOnce

__all__ = ["ClassRanker", "TextBank", "ZeroShot"]


@dataclass(slots=True)
class TextBank:
    """Unit embeddings of labels, averaged over synonyms and templates; each is computed once."""

    encoder: Encoder
    templates: Sequence[str]
    classes: Sequence[tuple[str, ...]] = ()
    _synonyms: dict[str, tuple[str, ...]] = field(init=False)
    _known: dict[tuple[str, ...], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._synonyms = {names[0]: names for names in self.classes}

    def __getitem__(self, names: tuple[str, ...]) -> Tensor:
        """[D], for all names of one label."""
        if names not in self._known:
            self._known[names] = embed_labels(self.encoder, [names], self.templates)[0]
        return self._known[names]

    def by_name(self, name: str) -> Tensor:
        """[D], for a label given by its first name; its synonyms count where the data set knows them."""
        return self[self._synonyms.get(name, (name,))]

    def of(self, labels: Sequence[tuple[str, ...]]) -> Tensor:
        """[L, D], each label given by all its names."""
        return embed_labels(self.encoder, labels, self.templates)


class ZeroShot:
    """Zero-shot classification by a text bank's encoder over its classes; classes of the same names are one."""

    def __init__(self, texts: TextBank) -> None:
        self.encoder = texts.encoder
        self._texts = texts
        self._distinct, self._row_of_class = distinct_classes(texts.classes)

    def ranks(self, class_index: int, images: Tensor) -> list[int]:
        """Of embedded images [N, D], the rank of a class, from 1, among classes with different names."""
        row = self._row_of_class[class_index]
        # One image at a time, so that an image's similarities do not depend on how many it is embedded with.
        return [rank_of((self._classes @ image).cpu().numpy(), row) for image in images]

    @cached_property
    def _classes(self) -> Tensor:
        return self._texts.of(self._distinct)


class ClassRanker:
    """Names the class of each image of a slice."""

    def __init__(self, classes: ZeroShot) -> None:
        self._classes = classes

    def ranks(
        self, samples: Sequence[Sample], images: Sequence[FittedImage] | Tensor, kept: Kept, at_once: AtOnce
    ) -> list[int | PluginError | None]:
        """Rank of the true class, from 1, among classes with different names; ``None`` for a sample without a class.

        Args:
            samples: B of them.
            images: their pictures as the classifier takes them, or pixels [B, 3, H, W] that methods have explained.
            kept: what these computed: where the embeddings are among it, they cost no further pass.
            at_once: how many images may be embedded together.
        """
        if all(sample.class_index is None for sample in samples):
            return [None] * len(samples)
        encoder = self._classes.encoder
        known = _embeddings(kept, encoder, images) if isinstance(images, Tensor) else None

        def ranked(some: slice) -> list[int | None]:
            if known is not None:
                embedded = known[some]
            else:
                pixels = images[some] if isinstance(images, Tensor) else to_pixels(images[some], encoder)
                with blamed(f"encoder {encoder.info.name}"):
                    embedded = encoder.encode_image(pixels)
            return [self._rank(sample, one) for sample, one in zip(samples[some], embedded, strict=True)]

        return at_once.done(ranked, len(samples))

    def _rank(self, sample: Sample, embedding: Tensor) -> int | None:
        return None if sample.class_index is None else self._classes.ranks(sample.class_index, embedding[None])[0]


def _embeddings(kept: Kept, encoder: Encoder, pixels: Tensor) -> Tensor | None:
    """[B, D] of the very pixels, where what was shared among methods (features, tokens, gradients) came with them."""
    for found in kept.about(encoder.visual, pixels):
        embedding = getattr(found, "embedding", None)
        if isinstance(embedding, Tensor) and embedding.shape == (len(pixels), encoder.info.embed_dim):
            return embedding.detach().float()
    return None
