"""Small English words that say how the nouns of a phrase belong together."""

from __future__ import annotations

__all__ = ["CUTS", "JOINS", "PICTURES", "QUANTITIES", "SILENT"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SILENT = _words(
    "a an the this that these those my your his her its our their some any one two three four five six seven eight "
    "nine ten many several few is are was were be being been am here there it i you we see can itap very really just"
)
"""Words that never name anything."""

JOINS = _words("and or plus versus vs")
"""Words between things that count equally."""

CUTS = _words(
    "of in on at with without by for from to into onto under over above below near behind beside besides between among "
    "across through against during around about inside outside along off up down next like as than that which who whom "
    "whose where while when is are was were has have had wearing holding"
)
"""What follows these describes what precedes them."""

PICTURES = _words(
    "image images photo photos photograph photographs picture pictures pic pics shot snapshot view closeup close up "
    "drawing painting sketch doodle rendering rendition render sculpture statue graffiti tattoo art artwork portrait "
    "illustration cartoon icon print scan video frame example depiction"
)
"""``X of a dog`` asks for the dog, and not for what the dog is on."""

QUANTITIES = _words(
    "bunch herd group pair couple lot lots flock pack slice slices piece pieces row stack pile number set collection "
    "kind kinds type types sort breed dozen dozens swarm school litter loaf bit part front back side top"
)
"""``X of dogs`` are dogs."""
