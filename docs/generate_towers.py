"""Writes ``docs/towers.md``: which method works on which kind of image tower, tried on small random ones.

    uv run python docs/generate_towers.py

The page is committed; a slow test of ``tests/test_towers.py`` makes it again and compares. A method either gives a map
or is refused in words; any other error ends the program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import torch

from xtool.contracts.registry import registry
from xtool.engine.methods import build_method, parse_methods
from xtool.errors import UsageError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "plugins/xtool-vit/tests"))

from vit_towers import CNNS, FURTHER, TOWERS, make_tower, pixels_for, texts_for  # noqa: E402

OWNERS = ("vit", "cam", "vlscore")
CONTROLS = ("random", "center")
BESIDE = ("vlscore:preset=gscorecam", "gradcam:refine=caa", "gradcam:refine=pamr")
"""Ways of calling that are not a method's name, and could meet a tower of their own kind of trouble."""
NOTHING = "the map is constant: on random weights the method finds nothing of the text"
HEAD = """<!-- Written by docs/generate_towers.py. Do not edit: change the code and run it again. -->

# Methods and towers

Which method works on which kind of image tower that `xtool-clip` describes, tried on small ones with random weights by
`python docs/generate_towers.py` in a checkout. *Yes* is a map that is finite and not constant; a number is the reason
why there is none, in the program's own words.
"""


def main() -> None:
    """Write the page."""
    path = HERE / "towers.md"
    text = page()
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        print("written: docs/towers.md")


def page() -> str:
    """The page as it should be now."""
    kinds, calls = [*TOWERS, *FURTHER, *CNNS], list(methods())
    found = {kind: answers(kind, calls) for kind in kinds}
    reasons = list(dict.fromkeys(why for call in calls for kind in kinds if (why := found[kind][call])))
    lines = [HEAD, *_table(kinds, calls, found, reasons), ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    fits = [found[kind][call] for call in calls for kind in kinds if _architecture(kind) in _architectures(call)]
    works = sum(why == "" for why in fits)
    lines += ["", f"Of {len(fits)} pairs of a method and a tower of an architecture that it is made for, {works} work."]
    return "\n".join(lines) + "\n"


def methods() -> Iterable[str]:
    """What is tried: every method of the plugins but the controls, and what stands beside."""
    for item in registry().saliency_methods:
        if item.owner in OWNERS and item.spec.name not in CONTROLS:
            yield item.spec.name
    yield from BESIDE


def answers(kind: str, calls: Iterable[str]) -> dict[str, str]:
    """For each method the words of its refusal on a tower; empty where there is a map."""
    encoder = make_tower(kind, small=True)
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    found = {}
    for call in calls:
        try:
            (request,) = parse_methods([call])
            with torch.no_grad():
                maps = build_method(request, encoder.info).explain(encoder, pixels, text).maps
            found[call] = "" if maps.isfinite().all() and maps.std() > 0 else NOTHING
        except UsageError as error:
            said = str(error).replace("\n", " ").replace(encoder.info.name, "the tower")
            found[call] = said.replace(f"method {request.provided.spec.name} ", "the method ")
    return found


def _table(kinds: list[str], calls: list[str], found: dict[str, dict[str, str]], reasons: list[str]) -> list[str]:
    def cell(why: str) -> str:
        return f"{reasons.index(why) + 1}" if why else "yes"

    rows = [("method", *kinds), ("---",) * (len(kinds) + 1)]
    rows += [(f"`{call}`", *(cell(found[kind][call]) for kind in kinds)) for call in calls]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _architecture(kind: str) -> str:
    return "cnn" if kind in CNNS else "vit"


def _architectures(call: str) -> tuple[str, ...]:
    (request,) = parse_methods([call])
    return ("vit",) if "caa" in (request.config.refine or "") else request.provided.spec.architectures


if __name__ == "__main__":
    main()
