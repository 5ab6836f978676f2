"""The answer as files to take home."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from xtool_app.drawing import Look, sheet
from xtool_app.search import Answer

__all__ = ["as_document", "file_stem", "json_bytes", "png_bytes"]


def png_bytes(answer: Answer, look: Look) -> bytes:
    """Every text and method on one sheet, as the page shows them."""
    return sheet(answer.explanations, [question.text for question in answer.query.questions], look)


def json_bytes(answer: Answer, threshold: float) -> bytes:
    """Verdicts and boxes for machines, UTF-8."""
    return json.dumps(as_document(answer, threshold), ensure_ascii=False, indent=2).encode()


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
        "explanations": [
            {**_full_size(explanation.as_json(threshold), query.picture.scale), "options": request.describe()}
            for explanation, request in zip(answer.explanations, query.methods, strict=True)
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
