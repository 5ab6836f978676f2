"""From a free text to the nearest ImageNet classes, by their WordNet names and definitions.

In this order, and the first that finds anything decides:

1. a class's own name occurs in the text ("an image of a tabby cat." → tabby); the longest such name counts
2. words of the text occur in a class's name ("a photo of a cat" → tabby cat, tiger cat, …)
3. a class is defined as being like a word of the text ("raccoon" → the lesser panda, a "raccoon-like carnivore")
4. words of the text occur elsewhere in a class's definition
5. the spelling is similar

The first is exact, and all classes of that name share it ("crane" is a bird and a machine). The others are guesses that
the user is shown. Names and definitions come with timm; a user who has a sentence-embedding model may do better.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

__all__ = ["ClassNames", "Match", "Nearest"]

Kind = Literal["name", "words", "likeness", "definition", "spelling"]

WHY: dict[Kind, str] = {
    "name": "name",
    "words": "words of their names",
    "likeness": "what their definitions liken them to",
    "definition": "words of their definitions",
    "spelling": "spelling",
}

GUESSES = 5
"""Classes that a guess takes at most."""
STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "by",
        "for",
        "from",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "the",
        "this",
        "to",
        "with",
        "there",
        "one",
        "my",
        "image",
        "photo",
        "photograph",
        "picture",
        "drawing",
        "rendering",
        "rendition",
        "sketch",
        "itap",
        "art",
        "good",
        "bad",
        "large",
        "small",
        "big",
        "many",
        "some",
        "can",
        "you",
        "see",
        "close",
        "up",
        "cropped",
        "blurry",
        "bright",
        "dark",
        "black",
        "white",
        "low",
        "resolution",
    ]
)
"""Words of prompts, not of things."""


@dataclass(frozen=True, slots=True)
class Match:
    """A class, and how near it is."""

    index: int
    name: str
    score: float
    """In (0, 1]; 1 for an exact name."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The classes that a text is taken for, nearest first."""

    text: str
    kind: Kind
    matches: tuple[Match, ...]

    @property
    def exact(self) -> bool:
        return self.kind == "name"

    def message(self) -> str:
        """For people: what the text was taken for, and why."""
        ranked = ", ".join(f"{match.name} ({match.score:.2f})" for match in self.matches)
        return f"{self.text!r} is taken for {ranked}, by {WHY[self.kind]}"


class ClassNames:
    """Names and definitions of a classifier's classes, in the order of its outputs."""

    def __init__(self, names: Sequence[Sequence[str]], definitions: Sequence[str]) -> None:
        if len(names) != len(definitions):
            raise ValueError(f"{len(names)} names but {len(definitions)} definitions")
        self.names = [tuple(own) for own in names]
        self._exact: dict[tuple[str, ...], list[int]] = {}
        for index, own in enumerate(names):
            for name in own:
                rows = self._exact.setdefault(words(name), [])
                if index not in rows:
                    rows.append(index)
        self._longest = max((len(name) for name in self._exact), default=0)
        self._name_words = [{word for name in own for word in words(name)} for own in names]
        self._likened = [set(words(" ".join(re.findall(r"(\w+)-like", text.lower())))) for text in definitions]
        self._definition_words = [set(words(text)) for text in definitions]

    def nearest(self, text: str) -> Nearest:
        """The classes nearest to a text; never empty where there are classes."""
        spoken = words(text)
        if rows := self._named(spoken):
            return self._ranked(text, "name", [(1.0, row) for row in rows])
        content = {word for word in spoken if word not in STOP_WORDS} or set(spoken)
        guesses: tuple[tuple[Kind, list[set[str]]], ...] = (
            ("words", self._name_words),
            ("likeness", self._likened),
            ("definition", self._definition_words),
        )
        for kind, known in guesses:
            scores = [(_overlap(content, own), row) for row, own in enumerate(known)]
            if found := [(score, row) for score, row in scores if score > 0]:
                return self._ranked(text, kind, found)
        wanted = " ".join(word for word in spoken if word in content)
        alike = [(max(_alike(wanted, name) for name in own), row) for row, own in enumerate(self.names)]
        return self._ranked(text, "spelling", alike, 1)

    def _named(self, spoken: tuple[str, ...]) -> list[int]:
        """Classes with the longest name in the text; among equals the last, as prompts end with the label."""
        for length in range(min(self._longest, len(spoken)), 0, -1):
            for start in range(len(spoken) - length, -1, -1):
                if rows := self._exact.get(spoken[start : start + length]):
                    return rows
        return []

    def _ranked(self, text: str, kind: Kind, found: list[tuple[float, int]], number: int = GUESSES) -> Nearest:
        found = sorted(found, key=lambda pair: (-pair[0], pair[1]))
        # A guess keeps what is nearly as good as its best, not whatever fills a list.
        found = [pair for pair in found if pair[0] >= 0.5 * found[0][0]]
        matches = (Match(row, self.names[row][0], score) for score, row in found[:number])
        return Nearest(text, kind, tuple(matches))


def words(text: str) -> tuple[str, ...]:
    """Lower-case words, plurals cut: ``"Raccoon-like dogs"`` → ``("raccoon", "like", "dog")``."""
    return tuple(_singular(word) for word in re.findall(r"(?:[^\W_]|')+", text.lower()))


def _singular(word: str) -> str:
    word = word.removesuffix("'s")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _overlap(content: set[str], own: set[str]) -> float:
    """Shared words, as a share of the text's; many words of its own make a class less likely."""
    shared = len(content & own)
    return shared / len(content) * (0.5 + 0.5 / (1 + len(own - content))) if shared else 0.0


def _alike(wanted: str, name: str) -> float:
    return SequenceMatcher(None, wanted, " ".join(words(name))).ratio()
