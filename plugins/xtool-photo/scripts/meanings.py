"""What a WordNet synset means to a classifier: weights over the 1000 classes of ImageNet, or nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wordnet import Synset, ancestors

Weights = dict[int, float]
"""Class to weight; the weights of one meaning sum to 1."""

PHYSICAL = "00001930"
"""``physical entity``: what is not below it has no look."""
TOPS, ANIMAL, ARTIFACT, FOOD, PERSON = 3, 5, 6, 13, 18
FARTHEST = {ANIMAL: 3, ARTIFACT: 1, FOOD: 1}
"""Steps up to a kind whose members look a little alike. Substances, places and plants do not, and artifacts hardly:
a chisel is like a cleaver, but a bomb is no measuring instrument to the eye."""
LEAST_COVERED = 0.15
"""Share of the kinds right below an artifact's or a food's kind that must have classes: of 29 sorts of ``area`` the
patio alone has one, so it says nothing of the other 28."""

TOO_GENERAL = 420
"""``animal`` has 398 classes below it and means something; ``artifact`` has 522 and does not."""
TOO_GENERAL_A_KIND = 60
"""The same for classes that a thing only shares a kind with."""


@dataclass(frozen=True)
class Meaning:
    weights: Weights
    steps: int
    """Up to the nearest synset that has classes: 0 if the classes are examples of the very thing."""


@dataclass
class Tree:
    """The noun synsets with the classes below each."""

    synsets: Mapping[str, Synset]
    class_synsets: Sequence[str]
    overrides: Mapping[str, Weights] = field(default_factory=dict)
    """Hand-written meanings, which hold for all below them that have no classes of their own."""

    def __post_init__(self) -> None:
        self.kinds: dict[str, list[str]] = defaultdict(list)
        for offset, synset in self.synsets.items():
            for above in synset.hypernyms:
                self.kinds[above].append(offset)
        self.below: dict[str, set[int]] = defaultdict(set)
        for row, offset in enumerate(self.class_synsets):
            for above in ancestors(self.synsets, offset):
                self.below[above].add(row)

    def meaning(self, offset: str) -> Meaning | None:
        """The classes that are the thing or kinds of it, else those that share its nearest kind."""
        synset = self.synsets[offset]
        above = ancestors(self.synsets, offset)
        if offset in self.class_synsets:  # the bubble is abstract to WordNet
            return Meaning(evenly(sorted(self.below[offset])), 0)
        if PHYSICAL not in above or synset.is_instance:
            return None
        steps = min((far for up, far in above.items() if up in self.overrides or up in self.below), default=None)
        if steps is None:
            return None
        nearest = [up for up, far in above.items() if far == steps]
        for up in nearest:
            if up in self.overrides:
                return Meaning(self.overrides[up], steps)
        if steps > 0:  # a feather is no animal, though it has animals' place in WordNet's files
            nearest = [up for up in nearest if self.synsets[up].domain == synset.domain]
        rows = sorted(set().union(*(self.below.get(up, set()) for up in nearest)))
        if steps == 0:
            return Meaning(evenly(rows), 0) if len(rows) <= TOO_GENERAL else None
        if steps > FARTHEST.get(synset.domain, 0) or not 0 < len(rows) <= TOO_GENERAL_A_KIND:
            return None
        if synset.domain != ANIMAL and max(map(self._covered, nearest)) < LEAST_COVERED:
            return None
        return Meaning(evenly(rows), steps)

    def _covered(self, offset: str) -> float:
        kinds = self.kinds[offset]
        return sum(kind in self.below for kind in kinds) / max(len(kinds), 1)


def evenly(rows: Sequence[int]) -> Weights:
    return dict.fromkeys(rows, 1 / len(rows))


def mixture(parts: Sequence[tuple[float, Weights]]) -> Weights:
    """The weighted mean of meanings."""
    total = sum(share for share, _ in parts)
    mixed: Weights = defaultdict(float)
    for share, weights in parts:
        for row, weight in weights.items():
            mixed[row] += share / total * weight
    return dict(mixed)
