"""One search in a thread of its own: it reports progress, asks before slow work, and can be stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from xtool.plugin import DEFAULT_TEMPLATES, Estimate, Fit, MethodRequest, XtoolError
from xtool_app.evidence import EvidenceBar, evidence_bars
from xtool_app.pictures import Picture
from xtool_app.wording import Question, page_words

if TYPE_CHECKING:
    from xtool.plugin import Explainer, Explanation, Understanding
    from xtool_app.models import Models

__all__ = ["UNEXPECTED", "Answer", "Failure", "Query", "Search", "State"]

State = Literal["waiting", "loading", "asking", "searching", "done", "failed", "stopped"]

UNEXPECTED = "Something went wrong that xtool did not expect. The log of the server says what it was."

TIMEOUT = 600.0
"""Seconds that a question stays open: whoever closed the page will not answer it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to search for, in what, and how."""

    picture: Picture
    questions: tuple[Question, ...]
    encoder: str
    methods: tuple[MethodRequest, ...]
    fit: Fit = "squash"
    against: tuple[str, ...] = ()
    """Background texts: the maps show where the picture is like a text rather than like these."""
    templates: Sequence[str] | None = DEFAULT_TEMPLATES
    """That names are put into; ``None`` asks the words as they are typed."""
    words: bool = False
    """Whether to say which words of each text mattered."""

    def same_as(self, other: Query) -> bool:
        """Whether the answer would be the same."""
        return self._asked() == other._asked()

    def _asked(self) -> tuple[Any, ...]:
        return self.picture.digest, self.questions, self.encoder, self.methods, self.fit, self.against, self.words


@dataclass(frozen=True, slots=True)
class Failure:
    """A method that gave no answer."""

    method: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found."""

    query: Query
    methods: Sequence[MethodRequest]
    """Those that gave an answer."""
    explanations: Sequence[Explanation]
    """One for each of ``methods``."""
    failures: Sequence[Failure]
    seconds: float
    """That the visitor waited for the search itself."""
    passes: int
    """That were really needed; the rest was kept from before."""
    weights: str
    trained: bool

    @property
    def understood(self) -> Sequence[Understanding | None]:
        """[T] what the model took each text for; ``None`` from models that read any text."""
        return self.explanations[0].understood

    def evidence(self, method: int) -> list[EvidenceBar | None]:
        """[T] of the method at that place; ``None`` for a text that is not understood, and from methods without any."""
        explanation = self.explanations[method]
        if explanation.scores is None:
            return [None] * len(self.query.questions)
        return [
            None if known is not None and not known.known else bar
            for known, bar in zip(
                self.understood, evidence_bars(explanation.scores.tolist(), explanation.calibration), strict=True
            )
        ]


class _StopError(Exception):
    """Raised inside the methods' work when the visitor wants no more of it."""


class _NoAnswerError(Exception):
    """Every method failed."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__()
        self.failures = failures


class Search:
    """Runs a query. Every attribute may be read at any time from any thread."""

    def __init__(self, query: Query, models: Models, *, ask: bool = True) -> None:
        self.query = query
        self.state: State = "waiting"
        self.error = ""
        self.estimate: Estimate | None = None
        self.answer: Answer | None = None
        self._models = models
        self._passes = 0
        self._stop = threading.Event()
        self._agreed = threading.Event()
        if not ask:
            self._agreed.set()
        self._thread = threading.Thread(target=self._run, name="xtool search", daemon=True)

    def start(self) -> Search:
        """Begin, and return at once."""
        self._thread.start()
        return self

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(seconds)

    def agree(self) -> None:
        """Go on although it will be slow."""
        self.state = "searching"  # at once, so that the question is not shown again
        self._agreed.set()

    def stop(self) -> None:
        """End soon: after the pass through the encoder that is under way."""
        self._stop.set()
        self._agreed.set()

    @property
    def active(self) -> bool:
        """Whether it is still to come to an end."""
        return self.state not in ("done", "failed", "stopped")

    @property
    def progress(self) -> float:
        """How far the search is, from 0 to 1."""
        if self.state == "done":
            return 1.0
        if self.estimate is None or self.estimate.passes == 0:
            return 0.0
        return min(self._passes / self.estimate.passes, 0.99)

    @property
    def passes(self) -> int:
        """Images that went through the encoder so far."""
        return self._passes

    def _run(self) -> None:
        try:
            self._prepare()
            if not self._agreed.wait(TIMEOUT):
                raise _StopError
            self._check()
            self.state = "searching"
            self.answer = self._search()
            self.state = "done"
        except _StopError:
            self.state = "stopped"
        except _NoAnswerError as error:
            self.error = "\n".join(f"{failure.method}: {failure.reason}" for failure in error.failures)
            self.state = "failed"
        except Exception as error:
            self.error = _reason(error)
            self.state = "failed"

    def _prepare(self) -> None:
        query = self.query
        with self._models.lock:
            self._check()
            self.state = "loading"
            explainer = self._models.explainer(query.picture, query.encoder, query.fit)
            texts = len(query.questions) * (2 if query.against else 1)
            # Whoever has waited for a method on this picture knows what it costs, and mostly its work is kept.
            answered = self._models.answered(explainer)
            new = [request for request in query.methods if (request.provided, request.config) not in answered]
            for request in query.methods:
                expected = explainer.expected_passes([request], texts)
                self._models.remember_passes(query.encoder, request, texts, expected)
            passes = explainer.expected_passes(query.methods, texts)
            seconds = explainer.expected_passes(new, texts) * self._models.seconds_per_pass(query.encoder)
        estimate = Estimate(passes, seconds, explainer.encoder.device.type)
        self.estimate = estimate
        if estimate.slow and not self._agreed.is_set():
            self.state = "asking"
        else:
            self._agreed.set()

    def _search(self) -> Answer:
        query = self.query
        found: list[tuple[MethodRequest, Explanation]] = []
        failures: list[Failure] = []
        with self._models.lock:
            self._check()
            explainer = self._models.explainer(query.picture, query.encoder, query.fit)
            start = time.perf_counter()
            for request in query.methods:
                result = self._explained(explainer, request)
                if isinstance(result, Failure):
                    failures.append(result)
                    continue
                found.append((request, result))
                self._models.answered(explainer).add((request.provided, request.config))
            if not found:
                raise _NoAnswerError(failures)
            info = explainer.encoder.info
        return Answer(
            query=query,
            methods=tuple(request for request, _ in found),
            explanations=tuple(explanation for _, explanation in found),
            failures=tuple(failures),
            seconds=time.perf_counter() - start,
            passes=self._passes,
            weights=info.weights,
            trained=info.trained,
        )

    def _explained(self, explainer: Explainer, request: MethodRequest) -> Explanation | Failure:
        """One method's answer. A method that fails takes no other's answer with it."""
        try:
            (explanation,) = explainer.explain(
                [question.text for question in self.query.questions],
                [request],
                against=self.query.against,
                templates=self.query.templates,
                words="removal" if self.query.words else None,
                on_pass=self._passed,
            )
        except _StopError:
            raise
        except Exception as error:
            return Failure(request.label, _reason(error))
        return explanation

    def _passed(self, images: int) -> None:
        self._passes += images
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StopError


def _reason(error: Exception) -> str:
    """What people are told of an error; what nobody foresaw goes to the server's log instead."""
    if isinstance(error, XtoolError):
        return page_words(str(error))
    if isinstance(error, MemoryError):
        return "This does not fit into memory. Try a smaller model, or fewer texts and methods."
    log.error("a search failed", exc_info=error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, for an accelerator
        return "The device has too little memory for this model and method."
    return UNEXPECTED
