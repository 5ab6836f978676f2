"""One sample, put to every method as the very same question: the same pixels, the same texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.engine.encoders import exclusive
from xtool.engine.prompts import embed_labels
from xtool.engine.work import METHODS, TOWER, Work, part
from xtool.image.geometry import Geometry
from xtool.image.pixels import FittedImage, to_pixels
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod, Sample
    from xtool.metrics.protocols import LocalizationProtocol

__all__ = ["Cost", "Question", "TextBank"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """As in a record."""

    seconds: float
    forwards: float
    seconds_here: float
    encoder_seconds_here: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every method is asked about one sample: the same pixels and the same texts."""

    encoder: Encoder
    protocol: LocalizationProtocol
    sample: Sample
    geometry: Geometry
    pixels: Tensor
    target: Tensor
    """[1, D]."""
    others: dict[str, Tensor]
    """``absent`` and ``distractor``, where the sample has them: [D]."""

    @classmethod
    def about(cls, sample: Sample, fitted: FittedImage, texts: TextBank, protocol: LocalizationProtocol) -> Question:
        """``texts`` are those of the encoder that is asked."""
        others = {kind: name for kind, name in (("absent", sample.absent), ("distractor", sample.distractor)) if name}
        return cls(
            encoder=texts.encoder,
            protocol=protocol,
            sample=sample,
            geometry=fitted.geometry,
            pixels=to_pixels(fitted, texts.encoder),
            target=texts[sample.synonyms][None],
            others={kind: texts.by_name(name) for kind, name in others.items()},
        )

    def put_to(self, method: SaliencyMethod, work: Work) -> tuple[Case, Cost]:
        """What to measure of a method's answer, and what it cost."""
        encoder = self.encoder
        with part(METHODS), exclusive(encoder):
            saliency, cost = _timed(method, encoder, self.pixels, self.target, work)
            about_others = (
                method.explain(encoder, self.pixels, torch.stack(list(self.others.values()))) if self.others else None
            )
        answers = {
            kind: _answer(about_others, position, self.geometry)
            for position, kind in enumerate(self.others)
            if about_others is not None
        }
        case = Case(
            sample=self.sample,
            target=_answer(saliency, 0, self.geometry),
            absent=answers.get("absent"),
            distractor=answers.get("distractor"),
            protocol=self.protocol,
            encoder=encoder,
            pixels=self.pixels,
            text=self.target,
        )
        return case, cost


def _answer(saliency: Saliency, position: int, geometry: Geometry) -> Answer:
    low = saliency.maps[0, position].float().cpu().numpy()
    return Answer(
        image_map=ImageMap(low, geometry),
        present=None if saliency.present is None else bool(saliency.present[0, position]),
        score=None if saliency.scores is None else float(saliency.scores[0, position]),
    )


def _timed(method: SaliencyMethod, encoder: Encoder, pixels: Tensor, text: Tensor, work: Work) -> tuple[Saliency, Cost]:
    forwards, charged, inside = work.forwards, work.charged_seconds, work.seconds.get(TOWER, 0.0)
    _synchronise(pixels.device)
    start = time.perf_counter()
    saliency = method.explain(encoder, pixels, text)
    _synchronise(pixels.device)
    seconds = time.perf_counter() - start
    return saliency, Cost(
        seconds=seconds + work.charged_seconds - charged,
        forwards=work.forwards - forwards,
        seconds_here=seconds,
        encoder_seconds_here=work.seconds.get(TOWER, 0.0) - inside,
    )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
