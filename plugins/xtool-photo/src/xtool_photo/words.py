"""From a text to plain words, and from plurals to singulars."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

__all__ = ["COMMA", "plain", "singulars", "tokens"]

COMMA = ","
"""Stands for every sign that separates things in a list."""

_ENDINGS = (
    ("men", "man"),
    ("ies", "y"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ses", "s"),
    ("xes", "x"),
    ("zes", "z"),
    ("s", ""),
)
"""WordNet's rules of detachment for nouns (morphy(7WN)), the longest first."""
_SHORTEST = 3
"""Letters of a singular that a rule may give; shorter ones are chance."""


def plain(text: str) -> str:
    """Lower case, no accents, hyphens as spaces, no apostrophes: ``"Jack-o'-lantern"`` → ``"jack o lantern"``."""
    return " ".join(token for token in tokens(text) if token != COMMA)


def tokens(text: str) -> list[str]:
    """Words and numbers in Latin script, and :data:`COMMA` for what separates things; other scripts are left out."""
    folded = unicodedata.normalize("NFKD", text).lower().replace("’", "'")
    bare = "".join(sign for sign in folded if not unicodedata.combining(sign))
    found = re.findall(r"[a-z0-9']+|[,;/&+]", bare)
    words = (word.removesuffix("'s").replace("'", "") if word[0] not in ",;/&+" else COMMA for word in found)
    return [word for word in words if word]


def singulars(word: str, irregular: Mapping[str, str]) -> Iterator[str]:
    """What a word may be the plural of, likeliest first."""
    if word in irregular:
        yield irregular[word]
    if word.endswith("ss"):
        return
    for ending, instead in _ENDINGS:
        stem = word.removesuffix(ending) + instead
        if word.endswith(ending) and len(stem) >= _SHORTEST:
            yield stem
