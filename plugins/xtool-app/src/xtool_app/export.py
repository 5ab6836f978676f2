"""The answer as files to download."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from xtool.paint.save import figure_png, figure_svg
from xtool_app.drawing import Look, sheet
from xtool_app.search import Answer

__all__ = ["KINDS", "FileKind", "as_document", "file_stem", "json_bytes", "maps_bytes", "png_bytes", "svg_bytes"]


def png_bytes(answer: Answer, look: Look) -> bytes:
    """Every text and method on one sheet."""
    return figure_png(sheet(answer, look))


def svg_bytes(answer: Answer, look: Look) -> bytes:
    """The same sheet with letters and boxes as lines that scale."""
    return figure_svg(sheet(answer, look))


def maps_bytes(answer: Answer, look: Look) -> bytes:
    """The maps as a NumPy file: float32 [methods, texts, height, width], in pixels of the picture that was searched."""
    stream = BytesIO()
    np.save(stream, np.stack([explanation.maps for explanation in answer.explanations]))
    return stream.getvalue()


def json_bytes(answer: Answer, look: Look) -> bytes:
    """Verdicts and boxes for machines, UTF-8."""
    return json.dumps(as_document(answer, look.threshold), ensure_ascii=False, indent=2).encode()


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file that an answer can be downloaded as."""

    title: str
    ending: str
    media_type: str
    make: Callable[[Answer, Look], bytes]


KINDS = (
    FileKind("Picture (PNG)", "png", "image/png", png_bytes),
    FileKind("Drawing (SVG)", "svg", "image/svg+xml", svg_bytes),
    FileKind("Boxes (JSON)", "json", "application/json", json_bytes),
    FileKind("Maps (NumPy)", "npy", "application/octet-stream", maps_bytes),
)


def as_document(answer: Answer, threshold: float) -> dict[str, Any]:
    """What was asked of what and how, and per method what ``xtool explain --json`` says.

    Boxes are half-open (x0, y0, x1, y1) in pixels of the upright picture at its full size.
    """
    query = answer.query
    return {
        "picture": query.picture.name,
        "size": list(query.picture.full_size),
        "encoder": query.encoder,
        "weights": answer.weights,
        "fit": query.fit,
        "threshold": threshold,
        "failures": {failure.method: failure.reason for failure in answer.failures},
        "explanations": [
            {**_full_size(explanation.as_json(threshold), query.picture.scale), "options": request.describe()}
            for explanation, request in zip(answer.explanations, answer.methods, strict=True)
        ],
    }


def file_stem(answer: Answer) -> str:
    """A file name that says what was looked for, of letters that every system takes."""
    words = "-".join(question.text for question in answer.query.questions)
    return "xtool-" + (re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower()[:40].strip("-") or "answer")


def _full_size(told: dict[str, Any], scale: tuple[float, float]) -> dict[str, Any]:
    factors = np.array([*scale, *scale])
    for text in told["texts"]:
        text["boxes"] = [np.rint(np.array(box) * factors).astype(int).tolist() for box in text["boxes"]]
    return told
