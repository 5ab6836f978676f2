"""Texts before an encoder: their embeddings, each made once, and which class of a data set an image ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from xtool.engine.prompts import embed_labels
from xtool.metrics.topk import distinct_classes, rank_of

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder

__all__ = ["TextBank", "ZeroShot"]


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
