"""Given names from the census of the United States of 1990, which are in the public domain.

The package ``names`` on the index carries the census's files; every line is NAME, share of people in percent, share so
far, rank.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

RAREST = 0.004
"""Percent of people. Rarer names are left out: among them are Pasta's and Sun's."""


def read_given_names() -> dict[str, float]:
    """Lower-case names with the share of women or men, whichever is larger, who have them, in percent."""
    spec = find_spec("names")
    if spec is None or spec.origin is None:
        raise SystemExit("the given names come with a package: run with --with names==0.3.0")
    found: dict[str, float] = {}
    for file in ("dist.female.first", "dist.male.first"):
        for line in (Path(spec.origin).parent / file).read_text().splitlines():
            name, share, *_ = line.lower().split()
            if float(share) >= RAREST:
                found[name] = max(float(share), found.get(name, 0.0))
    return found
