"""Where an encoder sees a text in one image."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from xtool.contracts.protocols import Saliency
from xtool.contracts.specs import PHOTOGRAPHS
from xtool.engine.ambient import undisturbed
from xtool.engine.cost import passes_of
from xtool.engine.encoders import counted, exclusive, given_encoder, out_of_depth
from xtool.engine.methods import MethodRequest, build_method, parse_methods, resolve_options, suggested_methods
from xtool.engine.prompts import DEFAULT_TEMPLATES
from xtool.engine.text_question import TextQuestion, read_texts
from xtool.engine.words import Word, word_relevance
from xtool.engine.work import Kept, Work, account, shared
from xtool.errors import UsageError
from xtool.explanation import TEXT_BLIND, Explanation, Explanations
from xtool.image.files import ImageSource, to_image
from xtool.image.geometry import Fit, Geometry
from xtool.image.pixels import fit_image, to_pixels
from xtool.metrics.image_map import ImageMap
from xtool.metrics.specificity import map_correlation

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, SaliencyMethod

FEW_PASSES = 16
"""The most passes that are spent on finding out whether a map depends on the text."""

__all__ = ["Explainer", "explain"]

Images = list[ImageSource] | tuple[ImageSource, ...]
Names = list[str] | tuple[str, ...]
Settings = Mapping[str, Mapping[str, Any]]


@overload
def explain(
    image: ImageSource, texts: str | Sequence[str], *, methods: str | None = ..., encoder: Encoder | str | None = ...,
    against: str | Sequence[str] = ..., templates: Sequence[str] | None = ..., settings: Settings | None = ...,
    fit: Fit = ..., words: str | None = ..., features_from: Encoder | str | None = ...,
) -> Explanation: ...  # fmt: skip
@overload
def explain(
    image: ImageSource, texts: str | Sequence[str], *, methods: Names, encoder: Encoder | str | None = ...,
    against: str | Sequence[str] = ..., templates: Sequence[str] | None = ..., settings: Settings | None = ...,
    fit: Fit = ..., words: str | None = ..., features_from: Encoder | str | None = ...,
) -> Explanations: ...  # fmt: skip
@overload
def explain(
    image: Images, texts: str | Sequence[str], *, methods: str | None = ..., encoder: Encoder | str | None = ...,
    against: str | Sequence[str] = ..., templates: Sequence[str] | None = ..., settings: Settings | None = ...,
    fit: Fit = ..., words: str | None = ..., features_from: Encoder | str | None = ...,
) -> list[Explanation]: ...  # fmt: skip
@overload
def explain(
    image: Images, texts: str | Sequence[str], *, methods: Names, encoder: Encoder | str | None = ...,
    against: str | Sequence[str] = ..., templates: Sequence[str] | None = ..., settings: Settings | None = ...,
    fit: Fit = ..., words: str | None = ..., features_from: Encoder | str | None = ...,
) -> list[Explanations]: ...  # fmt: skip
def explain(
    image: ImageSource | Images,
    texts: str | Sequence[str],
    *,
    methods: str | Names | None = None,
    encoder: Encoder | str | None = None,
    against: str | Sequence[str] = (),
    templates: Sequence[str] | None = DEFAULT_TEMPLATES,
    settings: Settings | None = None,
    fit: Fit = "squash",
    words: str | None = None,
    features_from: Encoder | str | None = None,
) -> Explanation | Explanations | list[Explanation] | list[Explanations]:
    """Show where an encoder sees each text in an image, by one method or by several that share their work.

    One method's name returns one :class:`Explanation`; a list of names gives a list of them in the same order, also for
    a list of one. A list of images gives a list of either.

    Args:
        image: a file's path, its bytes or an open file, a PIL image, a NumPy array ([H, W], [H, W, 3] or [H, W, 4];
            uint8, uint16, or floats from 0 to 1), a torch tensor of the same types ([C, H, W] or [H, W, C]), or a list
            of these.
        texts: what to look for, one or more: ``"dog"``, ``"a red car"``, ``"a photo of two foxes."``.
        methods: as on the command line, ``"vlscore:top_k=256"``, or a list of such names; by default a plugin's
            suggestion.
        encoder: a loaded encoder, a name, or ``None`` for the one that a plugin suggests for photographs.
        against: background texts: maps show where the image is like a text rather than like these
            (:mod:`xtool.engine.contrast`). Verdicts are those of the text alone.
        templates: what bare names are put into, with ``{label}``; sentences are read as they are, and with ``None`` so
            is every text. :func:`xtool.engine.prompts.prompts_for` has the rule.
        settings: options by method name.
        fit: how the image fills the model's input: ``squash``, ``crop`` or ``pad``.
        words: also say which words of each text mattered: by ``"removal"``, what the cosine of image and text loses
            without the word, or by one of the encoder's ``word_methods`` (:mod:`xtool.engine.words`).
        features_from: another encoder whose feature maps the methods take, loaded or by name, ``"photo"`` or
            ``"RN50@openai"``: it proposes, and ``encoder`` judges.

    Raises:
        UsageError: no text, an unknown method or option, or an image of an unsupported kind.
        DataError: the image cannot be read.
        PluginError: a method or the encoder failed, or gave what is not finite or not what it promised.
    """
    several = isinstance(image, list | tuple)
    pictures = [to_image(each) for each in image] if isinstance(image, list | tuple) else [to_image(image)]
    if not pictures:
        raise UsageError("give at least one image; the list is empty")
    methods = suggested_methods()[0] if methods is None else methods
    requests = parse_methods([methods] if isinstance(methods, str) else methods, settings, features_from=features_from)
    if isinstance(methods, str) and len(requests) > 1:
        raise UsageError(f"{methods!r} names several methods; give them as a list")
    read_texts(texts, templates)
    loaded = given_encoder(encoder)
    answers = [
        Explainer(each, loaded, fit=fit).explain(texts, requests, against=against, templates=templates, words=words)
        for each in pictures
    ]
    if isinstance(methods, str):
        firsts = [answer[0] for answer in answers]
        return firsts if several else firsts[0]
    return answers if several else answers[0]


class Explainer:
    """One image and one encoder, to be asked again and again.

    What does not depend on the text (the fitted pixels, feature maps, masked embeddings) is kept as long as the
    explainer exists, so that a second text is answered at once. ``seconds`` of an answer still counts what was kept.
    """

    def __init__(self, image: ImageSource, encoder: Encoder, *, fit: Fit = "squash", shows: str = PHOTOGRAPHS) -> None:
        """``shows`` is what the image is, ``"photographs"`` or ``"pictograms"``: not every encoder knows both."""
        self._warning = out_of_depth(encoder.info, shows)
        self.image = to_image(image)
        self.encoder = counted(encoder)
        self._fitted = fit_image(self.image, encoder.info, fit)
        with undisturbed(encoder.device):
            self.pixels = to_pixels(self._fitted, encoder)
        self._kept = Kept()

    def explain(
        self,
        texts: str | Sequence[str],
        methods: Sequence[MethodRequest],
        *,
        against: str | Sequence[str] = (),
        templates: Sequence[str] | None = DEFAULT_TEMPLATES,
        words: str | None = None,
        on_pass: Callable[[int], None] | None = None,
    ) -> Explanations:
        """One explanation per method.

        Args:
            texts: one or more.
            methods: as :func:`xtool.engine.methods.parse_methods` returns them.
            against: background texts, as :func:`explain` takes them.
            templates: as :func:`explain` takes them.
            words: as :func:`explain` takes it. It costs one pass, and the seconds of no method.
            on_pass: called after each pass through the image tower with the number of images in it; what it raises
                stops the work.

        Raises:
            UsageError: no text, or a method that does not fit the encoder, be it for maps or for words.
            PluginError: a method or the encoder failed, or gave what is not finite or not what it promised.
        """
        wanted, prompts = read_texts(texts, templates)
        requests = [resolve_options(request, self.encoder.info, self.encoder.device) for request in methods]
        built = [build_method(request, self.encoder.info) for request in requests]
        background = (against,) if isinstance(against, str) else tuple(against)
        with undisturbed(self.encoder.device), self._kept_work(on_pass) as work:
            weighed = None if words is None else self._words(wanted, templates, words)
            question = TextQuestion(self.encoder, wanted, prompts, background, templates)
            answers = [
                self._explanation(request, method, question, work)
                for request, method in zip(requests, built, strict=True)
            ]
            return Explanations(replace(answer, words=weighed, words_by=words) for answer in answers)

    def _words(
        self, texts: tuple[str, ...], templates: Sequence[str] | None, method: str
    ) -> tuple[tuple[Word, ...], ...]:
        encoder, pixels = self.encoder, self.pixels
        (image,) = shared(("embedding",), (encoder.visual, pixels), lambda: encoder.encode_image(pixels))
        return word_relevance(encoder, image, texts, templates, method)

    def expected_passes(self, methods: Sequence[MethodRequest], texts: int) -> int:
        """Images that these methods together will put through the encoder, at most."""
        with self._kept_work():
            return sum(passes_of(request, self.encoder, self.pixels, texts) for request in methods)

    def _kept_work(self, on_pass: Callable[[int], None] | None = None) -> AbstractContextManager[Work]:
        """Inside, shared work about this image is taken from what is kept, and added to it."""
        return account(self._kept, on_pass=on_pass)

    def _towers(self, request: MethodRequest) -> tuple[Encoder, ...]:
        return (self.encoder,) if request.source is None else (self.encoder, request.source)

    def _explanation(
        self, request: MethodRequest, method: SaliencyMethod, question: TextQuestion, work: Work
    ) -> Explanation:
        with exclusive(*self._towers(request)):
            forwards, charged, start = work.forwards, work.charged_seconds, time.perf_counter()
            saliency = question.answered(method.explain(self.encoder, self.pixels, question.asked))
        seconds = time.perf_counter() - start + work.charged_seconds - charged
        forwards = work.forwards - forwards
        specificity, blind = self._specificity(request, method, question, saliency)
        present = None if saliency.present is None else saliency.present[0].cpu().numpy()
        return Explanation(
            image=self.image,
            texts=question.texts,
            prompts=question.prompts,
            understood=question.understood,
            method=request.label,
            encoder=self.encoder.info.name,
            maps=_at_image_resolution(saliency, self._fitted.geometry),
            present=None if present is None else present & question.known,
            scores=None if saliency.scores is None else saliency.scores[0].float().cpu().numpy(),
            calibration=request.calibration,
            seconds=seconds,
            forwards=forwards,
            box_threshold=request.provided.spec.box_threshold,
            against=question.against,
            specificity=specificity,
            notes=tuple(filter(None, (self._warning, *question.notes, *blind))),
        )

    def _specificity(
        self, request: MethodRequest, method: SaliencyMethod, question: TextQuestion, saliency: Saliency
    ) -> tuple[NDArray[np.float32] | None, list[str]]:
        """[T] how much each map depends on its text, and a note for each that hardly does; nothing where it is dear."""
        asked, more = len(question.asked), len(question.probes)
        dear = passes_of(request, self.encoder, self.pixels, asked + more) - passes_of(
            request, self.encoder, self.pixels, asked
        )
        if dear > FEW_PASSES or not more:
            return None, []
        with exclusive(*self._towers(request)):
            probed = method.explain(self.encoder, self.pixels, question.probes).maps[0].float().cpu().numpy()
        own = saliency.maps[0].float().cpu().numpy()
        likest = [_likest(heat, probed, question.probe_texts) for heat in own]
        specificity = np.array([1 - correlation for correlation, _ in likest], np.float32)
        blind = [repr(text) for text, value in zip(question.texts, specificity, strict=True) if value < TEXT_BLIND]
        if not blind:
            return specificity, []
        highest, other = max(pair for pair in likest if pair[0] > 1 - TEXT_BLIND)
        note = (
            f"{request.label}: the map hardly depends on the text; that of {' and '.join(blind)} is nearly that of "
            f"{other!r} (correlation {highest:.2f})."
        )
        return specificity, [note]


def _likest(heat: NDArray[Any], others: NDArray[Any], names: Sequence[str]) -> tuple[float, str]:
    """The highest correlation of a map with others [K, h, w], and whose it is; NaN where none can be told."""
    found = [(map_correlation(heat, other), name) for other, name in zip(others, names, strict=True)]
    return max(((value, name) for value, name in found if value is not None), default=(float("nan"), ""))


def _at_image_resolution(saliency: Saliency, geometry: Geometry) -> NDArray[np.float32]:
    return np.stack([ImageMap(low, geometry).full for low in saliency.maps[0].float().cpu().numpy()])
