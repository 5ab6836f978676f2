"""``python -m tests.campaign``: attack the command line, and print what became of it as a table.

The large campaign takes hours, so it goes in parts. Each finished part is a line in the file of results, and the same
command goes on where it was left: after a kill, or with ``--minutes`` in as many sittings as one likes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.campaign import (
    checkpoints,
    datasets,
    endurance,
    inputs,
    kills,
    misbehaviours,
    pictures,
    places,
    states,
    workers,
)
from tests.campaign.harness import Attack, Tally, prepare


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attempts."""

    attack: Callable[[Attack], Tally]
    large: int
    """Attempts of the large campaign."""
    part: int
    """Attempts in one part of it: some minutes of a processor."""


KINDS = {
    "checkpoints": Kind(checkpoints.attack, 60, 60),
    "plugins": Kind(misbehaviours.attack, 150, 150),
    "places": Kind(places.attack, 64, 64),
    "datasets": Kind(datasets.attack, 150, 50),
    "kills": Kind(kills.attack, 200, 20),
    "workers": Kind(workers.attack, 20, 20),
    "inputs": Kind(inputs.attack, 500, 50),
    "threads": Kind(endurance.attack_by_threads, 200, 200),
    "explains": Kind(endurance.attack_by_number, 50_000, 50_000),
    "states": Kind(states.attack, 500, 25),
    "pictures": Kind(pictures.attack, 2000, 200),
}


@dataclass(slots=True)
class Result:
    """What became of one part; a line in the file of results."""

    name: str
    """Of the kind, with seed, part and count: what was asked for."""
    kind: str
    attempts: int
    fine: int
    told: int
    minutes: float
    """Of a processor, with all processes that were started."""
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        cells = (self.kind, f"{self.attempts:,}", f"{self.fine:,}", f"{self.told:,}", len(self.faults))
        return "| " + " | ".join(map(str, cells)) + f" | {self.minutes:.1f} |"


def attacked(kind: str, count: int, seed: int, part: int, name: str) -> Result:
    """Make the attempts. The folder with what a fault was found on is kept, and told."""
    folder = Path(tempfile.mkdtemp(prefix=f"campaign-{kind}-"))
    began = _minutes()
    tally = KINDS[kind].attack(Attack(random.Random(f"{kind} {seed} {part}"), folder, count))
    if tally.faults:
        tally.faults.append(f"in {folder}")
    return Result(name, tally.kind, tally.attempts, tally.fine, tally.told, _minutes() - began, tally.faults)


def campaign(kinds: Sequence[tuple[str, int]], seed: int, results: Path | None, until: float) -> bool:
    """Whether nothing broke, in what was done now or before; begins no part after ``until``."""
    done = {} if results is None or not results.exists() else _read(results)
    prepare()
    left = 0
    found: dict[str, list[Result]] = {}
    for kind, count in kinds:
        for part, size in enumerate(_parts(count, count if results is None else KINDS[kind].part)):
            name = f"{kind} {seed}.{part}={size}"
            if name not in done:
                if time.monotonic() > until:
                    left += 1
                    continue
                done[name] = attacked(kind, size, seed, part, name)
                if results is not None:
                    with results.open("a", encoding="utf-8") as stream:
                        stream.write(json.dumps(asdict(done[name])) + "\n")
                    print(done[name].row(), *done[name].faults, sep="\n  ", flush=True)
            found.setdefault(kind, []).append(done[name])
    print("\n| attack | attempts | ended well | refused in words | faults | minutes of a processor |")
    print("|---|---|---|---|---|---|")
    for parts in found.values():
        whole = _together(parts)
        print(whole.row(), *whole.faults, sep="\n  ", flush=True)
    if left:
        print(f"{left} parts are left: the same command goes on with them")
    return not any(result.faults for parts in found.values() for result in parts)


def asked(text: str) -> tuple[str, int]:
    """``kills`` or ``kills=20`` as a kind and a number of attempts."""
    kind, _, count = text.partition("=")
    if kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind} is not among {', '.join(KINDS)}")
    return kind, int(count) if count else KINDS[kind].large


def _read(results: Path) -> dict[str, Result]:
    lines = results.read_text("utf-8").splitlines()
    return {result.name: result for result in (Result(**json.loads(line)) for line in lines)}


def _parts(count: int, size: int) -> Iterator[int]:
    for start in range(0, count, size):
        yield min(size, count - start)


def _together(parts: Sequence[Result]) -> Result:
    return Result(
        parts[0].name,
        _kind(parts),
        sum(part.attempts for part in parts),
        sum(part.fine for part in parts),
        sum(part.told for part in parts),
        sum(part.minutes for part in parts),
        [fault for part in parts for fault in part.faults if not fault.startswith("in /")],
    )


def _kind(parts: Sequence[Result]) -> str:
    """The kind of all parts; a number in its brackets, as of the kills that landed, is added up."""
    counted = [int(found[1]) for part in parts if (found := re.search(r"\((\d+) ", part.kind))]
    return re.sub(r"\(\d+ ", f"({sum(counted)} ", parts[0].kind)


def _minutes() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used) / 60


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("kinds", nargs="*", type=asked, metavar="KIND[=COUNT]", help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="keep finished parts here, and go on with the others")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no part after this time")
    given = parser.parse_args()
    chosen = given.kinds or [(name, kind.large) for name, kind in KINDS.items()]
    sys.exit(not campaign(chosen, given.seed, given.results, time.monotonic() + 60 * given.minutes))
