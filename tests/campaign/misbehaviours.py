"""Plugins that misbehave in every way that a test could think of: named, and nothing wrong is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.campaign.harness import Attack, Done, Tally, not_json, run
from xtool.testing.planted import planted_image


def attack(given: Attack) -> Tally:
    tally = Tally("plugin misbehaviours × explain, stop, skip and resume")
    picture = given.folder / "picture.png"
    planted_image({"red": (8, 8, 40, 40)}).save(picture)
    attempts = list(_attempts(str(picture)))
    given.chance.shuffle(attempts)
    for number, (name, arguments, culprit) in enumerate(attempts[: given.count]):
        out = ["--out", str(given.folder / str(number))] if arguments[0] == "compare" else []
        done = run([*arguments, *out, "--json"])
        tally.judge(name, done, _wrong(arguments, done, culprit))
        if out and "skip" not in arguments:
            again = run([*arguments, *out, "--json", "--resume", "--on-error", "skip"])
            tally.judge(f"{name}, resumed", again, "" if again.code else not_json(again.stdout))
    return tally


def _attempts(picture: str) -> Iterator[tuple[str, list[str], str]]:
    from unruly_parts import MISBEHAVIOURS

    planted = ["--encoder", "planted-cnn"]
    for how in MISBEHAVIOURS:
        method = f"unruly:how={how}"
        yield f"explain, {how}", ["explain", picture, "--text", "red", "--method", method, *planted], method
        for first in (1, 4):
            rows = ["--methods", f"{method}:first={first},everywhere"]
            for on_error in ("stop", "skip"):
                compare = ["compare", "--dataset", "patches", *rows, *planted, "--on-error", on_error]
                yield f"{on_error}, {how} from {first}", compare, method
    for how in ("nan-image", "nan-text", "no-tensor", "wide", "raises", "exits"):
        encoder = f"unruly-{how}"
        for on_error in ("stop", "skip"):
            compare = ["compare", "--dataset", "patches", "--methods", "everywhere", "--encoder", encoder]
            yield f"{on_error}, encoder {how}", [*compare, "--on-error", on_error], encoder
    for split in ("raises", "exits", "none", "no-image", "nan-box", "flat-box"):
        for on_error in ("stop", "skip"):
            compare = ["compare", "--dataset", f"unruly:{split}", "--methods", "everywhere", *planted]
            yield f"{on_error}, data set {split}", [*compare, "--on-error", on_error], ""


def _wrong(arguments: list[str], done: Done, culprit: str) -> str:
    if done.code == 0:
        if problem := not_json(done.stdout):
            return problem
        if "skip" not in arguments:
            return "it went on"
        found = json.loads(done.stdout)
        whole = [row["images"] for row in found["rows"] if row["method"] == "everywhere"]
        missing = found["failed"] + len(found["unanswered"])
        return "" if whole and missing else f"nobody is told: {done.stdout[:200]}"
    return "" if culprit in done.stderr else f"the culprit is not named: {done.stderr[-200:]}"
