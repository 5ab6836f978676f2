"""Places where nothing can be written or read, and limits of a process: told in words, and what was done is kept."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.campaign.datasets import table
from tests.campaign.harness import Attack, Done, Tally, run
from xtool.testing.planted import planted_image

PLANTED = ("--encoder", "planted-cnn")
COMPARE = ("compare", "--dataset", "patches", "--methods", "colourcam,everywhere", *PLANTED)
Before = Callable[[], object]


def attack(given: Attack) -> Tally:
    tally = Tally("places and limits × commands that read or write there")
    sound, picture = given.folder / "sound", given.folder / "picture.png"
    planted_image({"red": (8, 8, 40, 40)}).save(picture)
    assert run([*COMPARE, "--out", str(sound)]).code == 0
    chosen = [
        name for name in PLACES if os.geteuid() == 0 or PLACES[name] not in (_no_inodes, _full)
    ]  # only root mounts
    attempts = [(where, name) for where in chosen for name in commands(Path(), Path(), Path())]
    given.chance.shuffle(attempts)
    for number, (where, name) in enumerate(attempts[: given.count]):
        place = given.folder / f"{where}-{number}"
        place.mkdir()
        half = place / "half"
        with PLACES[where](place, sound, given.chance) as before:
            done = run(commands(place, sound, picture)[name], before)
            tally.judge(f"{where}, {name}", done, _wrong(done, where, place))
        if name == "resume":
            again = run([*COMPARE, "--out", str(half), "--resume"])
            lines = (half / "records.jsonl").read_bytes().splitlines() if half.is_dir() else []
            wrong = "" if not lines or (again.code == 0 and len(lines) == 24) else f"lost: {again.stderr[-200:]}"
            tally.judge(f"{where}, resumed afterwards", again, wrong)
        shutil.rmtree(place)
    return tally


def commands(place: Path, sound: Path, picture: Path) -> dict[str, list[str]]:
    explain = ["explain", str(picture), "--text", "red", "--method", "everywhere", *PLANTED]
    return {
        "compare": [*COMPARE, "--out", str(place / "run")],
        "resume": [*COMPARE, "--out", str(place / "half"), "--resume"],
        "page": ["report", str(sound), "-o", str(place / "report.html")],
        "curves": ["report", str(sound), "-o", str(place / "curves.svg")],
        "figure": [*explain, "-o", str(place / "figure.png")],
        "maps": [*explain, "-o", str(place / "maps.npy")],
        "read a run": ["report", str(place / "half")],
        "read a table": [
            *("compare", "--dataset", "table", "--data-dir", str(place / "data"), "--methods", "everywhere"), *PLANTED,
            *("--out", str(sound.parent / f"{place.name}-table")),
        ],
    }  # fmt: skip


def _fill(place: Path, sound: Path) -> None:
    """A run that was broken off, and a data set."""
    half = place / "half"
    shutil.copytree(sound, half)
    lines = (half / "records.jsonl").read_bytes().splitlines(keepends=True)
    (half / "records.jsonl").write_bytes(b"".join(lines[:5]))
    (half / "records.parquet").unlink(missing_ok=True)
    (place / "data").mkdir()
    table(place / "data")


@contextmanager
def _read_only(place: Path, sound: Path, _: random.Random) -> Iterator[Before]:
    _fill(place, sound)
    with _modes(place, 0o555, 0o444):
        yield powerless


@contextmanager
def _unreadable(place: Path, sound: Path, _: random.Random) -> Iterator[Before]:
    _fill(place, sound)
    with _modes(place, 0o755, 0o000):
        yield powerless


@contextmanager
def _closed(place: Path, sound: Path, _: random.Random) -> Iterator[Before]:
    _fill(place, sound)
    with _modes(place, 0o000, 0o644):
        yield powerless


@contextmanager
def _modes(place: Path, folders: int, files: int) -> Iterator[None]:
    every = sorted(place.rglob("*"), reverse=True)  # what lies inside comes first
    for path in (*every, place):
        path.chmod(folders if path.is_dir() else files)
    try:
        yield
    finally:
        for path in (place, *reversed(every)):
            path.chmod(0o755)


@contextmanager
def _no_inodes(place: Path, sound: Path, _: random.Random) -> Iterator[Before]:
    with _mounted(place, "nr_inodes=40"):
        _fill(place, sound)
        with suppress(OSError):
            for number in range(100):
                (place / f"empty{number}").touch()
        yield lambda: None


@contextmanager
def _full(place: Path, sound: Path, chance: random.Random) -> Iterator[Before]:
    with _mounted(place, "size=512k"):
        _fill(place, sound)
        left = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        (place / "filler").write_bytes(b"x" * max(0, left - chance.choice((0, 4096, 16384))))
        yield lambda: None
        (place / "filler").unlink()


@contextmanager
def _mounted(place: Path, options: str) -> Iterator[None]:
    """A file system in memory of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield
    finally:
        # What was kept is looked at afterwards.
        kept = place.with_name(f"{place.name}-kept")
        if (place / "half").is_dir():
            shutil.copytree(place / "half", kept)
        subprocess.run(["umount", "-l", place], check=True)
        if kept.is_dir():
            kept.rename(place / "half")


@contextmanager
def _removed(place: Path, sound: Path, _: random.Random) -> Iterator[Before]:
    """The folder that a shell still stands in, after somebody else removed it."""

    def before() -> None:
        gone = place / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()

    _fill(place, sound)
    yield before


@contextmanager
def _short_files(place: Path, sound: Path, chance: random.Random) -> Iterator[Before]:
    _fill(place, sound)
    size = chance.choice((4096, 8192, 30_000))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def _few_files(place: Path, sound: Path, chance: random.Random) -> Iterator[Before]:
    _fill(place, sound)
    more = chance.choice((0, 1, 2, 3, 5))

    def before() -> None:
        most = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1 + more
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    yield before


PLACES = {
    "read-only": _read_only, "unreadable": _unreadable, "closed": _closed, "no-inodes": _no_inodes, "full": _full,
    "removed": _removed, "short-files": _short_files, "few-files": _few_files,
}  # fmt: skip


MOUNTED = ("no-inodes", "full")
"""Places that only root can make."""


def powerless() -> None:
    """Take from root what lets it read and write everything: permissions then hold for it, too."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")


def _wrong(done: Done, where: str, place: Path) -> str:
    if done.code and where != "few-files" and place.name not in "".join(done.stderr.split()):
        return f"the place is not named: {done.stderr[-300:]}"
    return ""
