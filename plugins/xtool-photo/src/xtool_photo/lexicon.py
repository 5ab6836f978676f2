"""The words that the encoder knows, each with weights over the classes. Made by ``scripts/build_lexicon.py``."""

from __future__ import annotations

from functools import cached_property
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xtool_photo.words import singulars

__all__ = ["Lexicon", "bundled"]


class Lexicon:
    """Words of one or more parts, in the form of :func:`xtool_photo.words.plain`, and what they mean.

    The file is an ``.npz``. Word i has the meaning ``meaning[i]``; meaning m has the classes
    ``rows[starts[m]:starts[m + 1]]`` with the ``weights`` beside them. Lists of words are UTF-8, a line each.
    """

    def __init__(self, file: Path) -> None:
        with np.load(file, allow_pickle=False) as data:
            arrays = dict(data)
        self._words = _lines(arrays["words"])
        self._number = {word: number for number, word in enumerate(self._words)}
        self._meaning = arrays["meaning"]
        self._common = arrays["common"]
        self._starts, self._rows, self._weights = arrays["starts"], arrays["rows"], arrays["weights"]
        # These are asked seldom, and a search in one string spares the sets.
        self._no_things = "\n" + _text(arrays["no_things"]) + "\n"
        self._qualities = "\n" + _text(arrays["qualities"]) + "\n"
        self._given_names = "\n" + _text(arrays["given_names"]) + "\n"
        self._surnames = "\n" + _text(arrays["surnames"]) + "\n"
        self._irregular = dict(zip(_lines(arrays["plurals"]), _lines(arrays["their_singulars"]), strict=True))
        self.class_names = tuple(_lines(arrays["class_names"]))
        """The first of timm's names of each class, as people are told them. Two are ``crane``, and two ``maillot``."""
        self.longest = int(arrays["longest"])
        """Parts of the word that has most."""

    def __contains__(self, word: str) -> bool:
        return word in self._number

    def weights(self, word: str) -> NDArray[np.float32]:
        """Weights over the classes [1000], which sum to 1. Raises :class:`KeyError` for a word that is not in it."""
        start, end = self._starts[(meaning := self._meaning[self._number[word]])], self._starts[meaning + 1]
        whole = np.zeros(len(self.class_names), np.float32)
        whole[self._rows[start:end]] = self._weights[start:end]
        return np.asarray(whole / whole.sum(), np.float32)

    def singular(self, word: str) -> str | None:
        """The word in the form that it is listed in, or ``None``. Only the last part is bent: "guinea pigs"."""
        if word in self:
            return word
        front, _, last = word.rpartition(" ")
        forms = (f"{front} {single}".strip() for single in singulars(last, self._irregular))
        found = next((form for form in forms if form in self), None)
        # "news" and "politics" are words of their own; "shoes" is one, too, but far more often the plural.
        return None if self.is_no_thing(word) and found not in self.common_words else found

    def is_no_thing(self, word: str) -> bool:
        """Whether it is an English word that means no thing which has a class: ``justice``, ``sky``."""
        return f"\n{word}\n" in self._no_things or f"\n{word}\n" in self._qualities

    def is_quality(self, word: str) -> bool:
        """Whether it may stand beside a noun without being one: adjectives, adverbs and verbs."""
        return f"\n{word}\n" in self._qualities

    def is_given_name(self, word: str) -> bool:
        """Whether people are called so."""
        return f"\n{word}\n" in self._given_names

    def is_surname(self, word: str) -> bool:
        """Whether families are called so."""
        return f"\n{word}\n" in self._surnames

    def joined(self, word: str) -> str | None:
        """A word of several parts that was written as one: ``sportscar``."""
        return self._joined.get(word)

    @cached_property
    def _joined(self) -> dict[str, str]:
        return {word.replace(" ", ""): word for word in self._words if " " in word}

    @cached_property
    def common_words(self) -> frozenset[str]:
        """Words of one part that people use every day; a slip of the pen is looked for among them."""
        return frozenset(word for word, common in zip(self._words, self._common, strict=True) if common)


def bundled() -> Lexicon:
    """The lexicon that ships with the plugin."""
    with as_file(files("xtool_photo") / "data" / "lexicon.npz") as file:
        return Lexicon(file)


def _text(array: NDArray[np.uint8]) -> str:
    return array.tobytes().decode("utf-8")


def _lines(array: NDArray[np.uint8]) -> list[str]:
    return _text(array).split("\n")
