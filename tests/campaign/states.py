"""Manifests and records that somebody changed: read, resumed or calibrated from, or refused in words."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from tests.campaign.harness import Attack, Done, Tally, not_json, rows, run
from tests.campaign.kills import COMPARE

NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**9, 10**18, 10**400, 1e308, -0.5, "", "x", "\x1b[31m", "\ud800", "é\u202e", [], [[]],
    {}, {"a": 1}, [None], [1, "x"], "NaN", 2**63,
)  # fmt: skip
RAW = (b"NaN", b"Infinity", b"[" * 5000 + b"]" * 5000, b"1" * 5000, b'"\\ud800"', b"\xff\xfe", b"{}", b"null", b"")


def attack(given: Attack) -> Tally:
    """``count`` states, each before four commands."""
    tally = Tally("corrupt run states × 4 commands")
    sound = given.folder / "sound"
    assert run([*COMPARE, "--out", str(sound)]).code == 0
    expected = rows(run(["report", str(sound), "--json"]).stdout)
    for number in range(given.count):
        for command in ("report", "table", "resume", "calibrate"):
            where = given.folder / f"{number}-{command}"
            shutil.copytree(sound, where)
            chance = random.Random(f"{given.chance.random()}" if command == "report" else number)
            harmless = corrupt(where, chance)
            done = _command(command, where)
            wrong = _wrong(command, where, done, expected, harmless=harmless)
            tally.judge(f"state {number}, {command}", done, wrong)
            if not wrong:
                shutil.rmtree(where)
    return tally


def corrupt(run_folder: Path, chance: random.Random) -> bool:
    """Change the state in one way; whether no number is lost or changed by it."""
    records, manifest = run_folder / "records.jsonl", run_folder / "manifest.json"
    lines = records.read_bytes().splitlines(keepends=True)
    what = chance.randrange(8)
    if what == 0:  # doubled and shuffled, as by two writers
        lines += chance.choices(lines, k=chance.randrange(1, 30))
        chance.shuffle(lines)
        records.write_bytes(b"".join(lines))
        return True
    if what == 1:  # torn
        data = b"".join(lines)
        records.write_bytes(data[: chance.randrange(len(data))])
        return True
    if what == 2:
        number = chance.randrange(len(lines))
        lines[number] = json.dumps(changed(json.loads(lines[number]), chance)).encode() + b"\n"
        records.write_bytes(b"".join(lines))
    elif what == 3:
        manifest.write_text(json.dumps(changed(json.loads(manifest.read_text("utf-8")), chance)), "utf-8")
    elif what == 4:
        lines[chance.randrange(len(lines))] = chance.choice(RAW) + b"\n"
        records.write_bytes(b"".join(lines))
    elif what == 5:
        manifest.write_bytes(chance.choice(RAW))
    elif what == 6:
        path = chance.choice((records, manifest, run_folder / "records.parquet"))
        data = bytearray(path.read_bytes())
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
    else:
        path = chance.choice((records, manifest, run_folder / "records.parquet"))
        path.unlink()
        if chance.random() < 0.5:
            path.mkdir()
    return False


def changed(value: Any, chance: random.Random) -> Any:
    """The same with one entry, at any depth, replaced, removed or added."""
    if isinstance(value, dict) and value:
        key = chance.choice(sorted(value))
        if chance.random() < 0.7 and isinstance(value[key], dict | list) and value[key]:
            return {**value, key: changed(value[key], chance)}
        what = chance.randrange(4)
        if what == 0:
            return {name: item for name, item in value.items() if name != key}
        if what == 1:
            return {**value, "unknown": chance.choice(NASTY)}
        return {**value, key: chance.choice(NASTY)}
    if isinstance(value, list) and value:
        copy = list(value)
        at = chance.randrange(len(copy))
        copy[at] = changed(copy[at], chance) if isinstance(copy[at], dict | list) else chance.choice(NASTY)
        return copy
    return chance.choice(NASTY)


def _command(command: str, where: Path) -> Done:
    if command == "report":
        return run(["report", str(where), "--json"])
    if command == "table":
        return run(["report", str(where), "--counts"])
    if command == "calibrate":
        return run(["calibrate", str(where), "--json", "-o", str(where) + ".calibration"])
    return run([*COMPARE, "--out", str(where), "--resume"])


def _wrong(command: str, where: Path, done: Done, expected: Any, *, harmless: bool) -> str:
    if harmless and done.code and command in ("resume", "report") and "no record" not in done.stderr:
        return f"refused: {done.stderr[-200:]}"
    if done.code or command == "table":
        return ""
    if problem := not_json(done.stdout):
        return problem
    if command == "calibrate":
        return ""
    read = done if command == "report" else run(["report", str(where), "--json"])
    if read.code:
        return f"resumed, and then not to be read: {read.stderr[-200:]}"
    images, table = rows(read.stdout)
    if images > 12 or any(row["images"] > 12 for row in table):
        return f"a table over {images} images of 12"
    if command == "resume" and harmless and (images, table) != expected:
        return f"another table: {table}"
    return ""
