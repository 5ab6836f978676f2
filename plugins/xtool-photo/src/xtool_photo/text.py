"""Free texts to weights over the classes, and what each was taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xtool.plugin import Understanding
from xtool_photo.lexicon import Lexicon
from xtool_photo.reading import read

__all__ = ["TextSide"]


class TextSide:
    """What texts mean by a lexicon. Needs no torch."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self.class_names = lexicon.class_names

    def understand(self, text: str) -> Understanding:
        """What a text is taken for."""
        reading = read(text, self._lexicon)
        if not reading.words:
            return Understanding(text, known=False, reason=reading.reason)
        weights = self._mean(reading.words)
        order = [int(row) for row in np.argsort(-weights, kind="stable") if weights[row] > 0]
        nearest = tuple((self.class_names[row], float(weights[row])) for row in order)
        return Understanding(text, known=True, nearest=nearest, taken_for=reading.words)

    def weights(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Weights over the classes [T, 1000], each row with the sum 1, or all zeros for a text that is not known."""
        rows = [self._mean(reading.words) for reading in (read(text, self._lexicon) for text in texts)]
        return np.stack(rows) if rows else np.zeros((0, len(self.class_names)), np.float32)

    def _mean(self, words: Sequence[str]) -> NDArray[np.float32]:
        if not words:
            return np.zeros(len(self.class_names), np.float32)
        return np.asarray(np.mean([self._lexicon.weights(word) for word in words], axis=0), np.float32)
