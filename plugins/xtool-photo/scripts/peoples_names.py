"""Names of people from the census of the United States of 1990, which are in the public domain.

The package ``names`` on the index carries the census's files; every line is NAME, share of people in percent, share so
far, rank.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

RAREST = 0.004
"""Percent of people. Rarer names are left out."""


def read_given_names() -> dict[str, float]:
    """Lower-case names with the share of women or men, whichever is larger, who have them, in percent."""
    women, men = _read("dist.female.first"), _read("dist.male.first")
    return {name: max(women.get(name, 0.0), men.get(name, 0.0)) for name in women | men}


def read_surnames() -> dict[str, float]:
    """The same for surnames, with the share of all people."""
    return _read("dist.all.last")


def _read(file: str) -> dict[str, float]:
    spec = find_spec("names")
    if spec is None or spec.origin is None:
        raise SystemExit("the names come with a package: run with --with names==0.3.0")
    lines = map(str.split, (Path(spec.origin).parent / file).read_text().lower().splitlines())
    return {name: float(share) for name, share, *_ in lines if float(share) >= RAREST}
