"""``python -m tests.campaign``: attack the command line, and print what became of it as a table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.campaign import checkpoints, datasets, inputs, kills, misbehaviours, pictures, states
from tests.campaign.harness import Attack, Tally, prepare

KINDS: dict[str, tuple[Callable[[Attack], Tally], int]] = {
    "kills": (kills.attack, 200),
    "plugins": (misbehaviours.attack, 150),
    "states": (states.attack, 500),
    "inputs": (inputs.attack, 500),
    "datasets": (datasets.attack, 150),
    "checkpoints": (checkpoints.attack, 60),
    "pictures": (pictures.attack, 2000),
}
"""Each kind with the number of attempts of the large campaign."""


def campaign(kinds: Sequence[tuple[str, int]], seed: int) -> bool:
    """Whether nothing broke. The folder with what a fault was found on is kept, and told."""
    prepare()
    sound = True
    for kind, count in kinds:
        folder = Path(tempfile.mkdtemp(prefix=f"campaign-{kind}-"))
        began = time.monotonic()
        tally = KINDS[kind][0](Attack(random.Random(f"{kind} {seed}"), folder, count))
        figures = (tally.attempts, tally.fine, tally.told, len(tally.faults), f"{time.monotonic() - began:.0f} s")
        print("| " + " | ".join(map(str, (tally.kind, *figures))) + " |")
        for fault in tally.faults:
            print(f"  {fault}")
        if tally.faults:
            print(f"  in {folder}")
        sys.stdout.flush()
        sound &= not tally.faults
    return sound


def asked(text: str) -> tuple[str, int]:
    """``kills`` or ``kills=20`` as a kind and a number of attempts."""
    kind, _, count = text.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind} is not among {', '.join(KINDS)}")
    return kind, int(count) if count else KINDS[kind][1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("kinds", nargs="*", type=asked, metavar="KIND[=COUNT]", help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(not campaign(given.kinds or [(kind, count) for kind, (_, count) in KINDS.items()], given.seed))
