"""One sample, put to every method as the very same question: the same pixels, the same texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.engine.encoders import exclusive
from xtool.engine.work import METHODS, TOWER, Work, part
from xtool.image.geometry import Geometry
from xtool.image.pixels import FittedImage, to_pixels
from xtool.metrics.case import Answer, Case
from xtool.metrics.image_map import ImageMap
from xtool.runs.packed import Maps, kept

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, Saliency, SaliencyMethod, Sample
    from xtool.metrics.protocols import LocalizationProtocol
    from xtool.runs.zero_shot import TextBank, ZeroShot

__all__ = ["Cost", "Question"]


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
    ranks: Callable[[Tensor], list[int]] | None
    """See :attr:`xtool.metrics.case.Case.ranks`."""
    maps: Maps
    """How exactly maps are scored: as a record can repeat it from its own map."""

    @classmethod
    def about(
        cls,
        sample: Sample,
        fitted: FittedImage,
        texts: TextBank,
        protocol: LocalizationProtocol,
        zero_shot: ZeroShot | None,
        maps: Maps = "low",
    ) -> Question:
        """``texts`` are those of the encoder that is asked, and ``zero_shot`` its classes, where there are some."""
        others = {kind: name for kind, name in (("absent", sample.absent), ("distractor", sample.distractor)) if name}
        index = sample.class_index
        return cls(
            encoder=texts.encoder,
            protocol=protocol,
            sample=sample,
            geometry=fitted.geometry,
            pixels=to_pixels(fitted, texts.encoder),
            target=texts[sample.synonyms][None],
            others={kind: texts.by_name(name) for kind, name in others.items()},
            ranks=partial(zero_shot.ranks, index) if zero_shot is not None and index is not None else None,
            maps=maps,
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
            kind: self._answer(about_others, position)
            for position, kind in enumerate(self.others)
            if about_others is not None
        }
        case = Case(
            sample=self.sample,
            target=self._answer(saliency, 0),
            absent=answers.get("absent"),
            distractor=answers.get("distractor"),
            protocol=self.protocol,
            encoder=encoder,
            pixels=self.pixels,
            text=self.target,
            ranks=self.ranks,
        )
        return case, cost

    def _answer(self, saliency: Saliency, position: int) -> Answer:
        low = kept(saliency.maps[0, position].float().cpu().numpy(), self.maps)
        return Answer(
            image_map=ImageMap(low, self.geometry),
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
