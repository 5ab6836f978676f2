"""``python -m tests.campaign``: attack the command line, and print what became of it as a table."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.campaign import inputs, kills, misbehaviours, pictures, states
from tests.campaign.harness import Attack, Tally, prepare

KINDS: dict[str, tuple[Callable[[Attack], Tally], int]] = {
    "kills": (kills.attack, 200),
    "pictures": (pictures.attack, 2000),
    "states": (states.attack, 500),
    "inputs": (inputs.attack, 500),
    "plugins": (misbehaviours.attack, 150),
}
"""Each kind with the number of attempts of the large campaign."""


def campaign(kinds: list[str], count: int | None, seed: int) -> list[Tally]:
    """One tally for each kind; the folder with what a fault was found on is kept, and told."""
    prepare()
    tallies = []
    for kind in kinds:
        attack, usual = KINDS[kind]
        folder = Path(tempfile.mkdtemp(prefix=f"campaign-{kind}-"))
        began = time.monotonic()
        tally = attack(Attack(random.Random(f"{kind} {seed}"), folder, usual if count is None else count))
        tallies.append(tally)
        seconds = time.monotonic() - began
        print(
            f"| {tally.kind} | {tally.attempts} | {tally.fine} | {tally.told} | {len(tally.faults)} | {seconds:.0f} s |"
        )
        for fault in tally.faults:
            print(f"  {fault}")
        sys.stdout.flush()
    return tallies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], help=f"of {', '.join(KINDS)}; by default all")
    parser.add_argument("--count", type=int, help="attempts of each kind; by default those of the large campaign")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(any(tally.faults for tally in campaign(given.kinds or list(KINDS), given.count, given.seed)))
