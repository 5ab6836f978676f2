"""Small words of English that say how the nouns of a phrase belong together."""

from __future__ import annotations

__all__ = ["CUTS", "JOINS", "PICTURES", "QUANTITIES", "SILENT"]

SILENT = frozenset(
    """a an the this that these those my your his her its our their some any one two three four five six seven eight nine
    ten many several few is are was were be being been am here there it i you we see can itap very really just""".split()
)
"""Words that name nothing wherever they stand."""

JOINS = frozenset(["and", "or", "plus", "versus", "vs"])
"""Words between things that are meant alike."""

CUTS = frozenset(
    """of in on at with without by for from to into onto under over above below near behind beside besides between among
    across through against during around about inside outside along off up down next like as than that which who whom
    whose where while when is are was were has have had wearing holding""".split()
)
"""What stands behind these describes what stands before them."""

PICTURES = frozenset(
    """image images photo photos photograph photographs picture pictures pic pics shot snapshot view closeup close up
    drawing painting sketch doodle rendering rendition render sculpture statue graffiti tattoo art artwork portrait
    illustration cartoon icon print scan video frame example depiction""".split()
)
"""``X of a dog`` asks for the dog, and not for what the dog is on."""

QUANTITIES = frozenset(
    """bunch herd group pair couple lot lots flock pack slice slices piece pieces row stack pile number set collection kind
    type sort breed dozen dozens swarm school litter pieces loaf bit part close-up front back side top kinds types""".split()
)
"""``X of dogs`` are dogs."""
