"""One search in a thread of its own: it tells how far it is, asks before slow work, and can be stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from xtool.plugin import Estimate, Fit, MethodRequest, XtoolError
from xtool_app.pictures import Picture
from xtool_app.wording import Question

if TYPE_CHECKING:
    from xtool.plugin import Explanation
    from xtool_app.models import Models

__all__ = ["UNEXPECTED", "Answer", "Query", "Search", "State"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a search found."""

    query: Query
    explanations: Sequence[Explanation]
    """One per method."""
    seconds: float
    """That the visitor waited for the search itself."""
    passes: int
    """That were really needed; the rest was kept from before."""
    weights: str
    trained: bool


class _StopError(Exception):
    """Raised inside the methods' work when the visitor wants no more of it."""


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
        except XtoolError as error:
            self._fail(str(error))
        except MemoryError:
            self._fail("This does not fit into memory. Try a smaller encoder, or fewer texts and methods.")
        except Exception as error:
            log.exception("a search failed")
            out_of_memory = type(error).__name__ == "OutOfMemoryError"
            self._fail("The device has too little memory for this encoder and method." if out_of_memory else UNEXPECTED)

    def _prepare(self) -> None:
        query = self.query
        with self._models.lock:
            self._check()
            self.state = "loading"
            explainer = self._models.explainer(query.picture, query.encoder, query.fit)
            texts = len(query.questions)
            # Whoever has waited for a method on this picture knows what it costs, and mostly its work is kept.
            answered = self._models.answered(explainer)
            new = [request for request in query.methods if (request.provided, request.config) not in answered]
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
        with self._models.lock:
            self._check()
            explainer = self._models.explainer(query.picture, query.encoder, query.fit)
            start = time.perf_counter()
            explanations = explainer.explain(
                [question.prompt for question in query.questions], query.methods, templates=None, on_pass=self._passed
            )
            self._models.answered(explainer).update((request.provided, request.config) for request in query.methods)
            info = explainer.encoder.info
        return Answer(
            query=query,
            explanations=explanations,
            seconds=time.perf_counter() - start,
            passes=self._passes,
            weights=info.weights,
            trained=info.trained,
        )

    def _passed(self, images: int) -> None:
        self._passes += images
        self._check()

    def _check(self) -> None:
        if self._stop.is_set():
            raise _StopError

    def _fail(self, message: str) -> None:
        self.error = message
        self.state = "failed"
