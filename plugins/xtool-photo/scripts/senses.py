"""From a word's senses to one meaning: a mixture, since nobody says which sense is meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from meanings import PERSON, Meaning, Tree, Weights, mixture
from wordnet import Synset

NEARNESS = (6.0, 1.0, 0.3, 0.1)
"""How much a sense counts by the steps to its classes: one that the classes are examples of beats any likeness."""
LEAST_SHARE = 0.15
"""A word means a thing only if this share of its uses does: ``justice`` is a judge once in 27 times."""
LEAST_PART = 0.15
"""Senses that would have less of the mixture are left out."""


@dataclass(frozen=True)
class Sense:
    offset: str
    uses: int
    """In tagged texts, plus one."""


def senses_by_word(synsets: Mapping[str, Synset], counts: Mapping[str, int]) -> dict[str, list[Sense]]:
    """Every noun in lower case with its senses."""
    found: dict[str, list[Sense]] = defaultdict(list)
    for offset, synset in synsets.items():
        for lemma, key in zip(synset.lemmas, synset.keys, strict=True):
            found[lemma.lower()].append(Sense(offset, counts.get(key, 0) + 1))
    return found


def word_meaning(senses: list[Sense], tree: Tree, is_class: bool) -> Weights | None:
    """Weights over the classes, or nothing for a word that means no thing that has a class.

    Args:
        senses: of the word.
        tree: of all synsets.
        is_class: whether the word is what people are told as a class's name.
    """
    things = [(sense, meaning) for sense in senses if (meaning := tree.meaning(sense.offset))]
    things = _without_nicknames(things, tree)
    classes = [sense.offset in tree.class_synsets for sense, _ in things]
    share = sum(sense.uses for sense, _ in things) / sum(sense.uses for sense in senses)
    if not things or (share < LEAST_SHARE and not is_class):
        return None
    parts = [sense.uses * NEARNESS[min(meaning.steps, len(NEARNESS) - 1)] for sense, meaning in things]
    # A class's own name means that class at least by half, however rare the sense: the mouse beside a keyboard.
    own = sum(part for part, own_class in zip(parts, classes, strict=True) if own_class)
    rest = sum(parts) - own
    if 0 < own < rest:
        parts = [part * rest / own if own_class else part for part, own_class in zip(parts, classes, strict=True)]
    whole = sum(parts)
    kept = [
        (part, meaning.weights) for part, (_, meaning) in zip(parts, things, strict=True) if part >= LEAST_PART * whole
    ]
    return mixture(kept)


def _without_nicknames(things: list[tuple[Sense, Meaning]], tree: Tree) -> list[tuple[Sense, Meaning]]:
    """A mouse, a cow or a plant is now and then a person; a man is seldom anything else."""
    persons = [pair for pair in things if tree.synsets[pair[0].offset].domain == PERSON and pair[1].steps > 0]
    others = [pair for pair in things if pair not in persons]
    return others if _uses(others) >= _uses(persons) else things


def _uses(things: list[tuple[Sense, Meaning]]) -> int:
    return sum(sense.uses for sense, _ in things)
