"""Options and texts that nobody should give, and people do."""

from __future__ import annotations

import random

from tests.campaign.harness import Attack, Tally, not_json, run
from xtool.testing.planted import planted_image

TEXTS = (
    "", " ", "\t\n", "red", "a" * 1_000_000, "red " * 50_000, "\x1b[2J\x1b[31mred", "\u202ered", "[bold]red[/bold]",
    "[/]", "{label}", "{", "%s%n", "\ud800", "\x00", "🦊" * 300, "العربية", "日本語", "é", "-1", "--help",
    "nan", "null",
    "red\u2028blue", "red\x85blue", "'; DROP TABLE", "../" * 200, "\ufeff", "\uffff", "$(id)", "`id`",
)  # fmt: skip
NUMBERS = ("0", "-1", "1e400", "nan", "inf", "9" * 400, "1.5", "", "x", "0x10", "1_000", "١", str(2**63), str(2**64))
NAMES = (
    "", "colourcam", "everywhere", "colourcam:", ":colourcam", "colourcam:power", "colourcam:power=", "a:b:c:d",
    "colourcam:power=nan", "colourcam:power=1e999", "colourcam:layer=x", "colourcam:features=x", "colourcam:pca=10000",
    "colourcam:clusters=100000", "colourcam,colourcam", ",", "colourcam:flip=true:refine=pamr", "colourcam:refine=x",
    "colourcam:power=0", "colourcam:pca=1:clusters=1", "[red]x[/red]", "\x1b[31m", "unruly:how=nan",
    "planted:colourcam",
)  # fmt: skip
PATHS = (
    "out.png", "out.npy", "out.xyz", "out", "", ".", "/", "/dev/full", "/dev/null/x.png", "a" * 300 + ".png",
    "\x00.png",
    "\udcff.png", "no/such/dir/x.svg", "/proc/x.png", "out.webp", "out.jpg", "out.pdf", "out.html", "\x1b[31m.png",
)  # fmt: skip

OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "explain": {
        "--text": TEXTS, "--against": TEXTS, "--template": TEXTS, "--methods": NAMES, "--threshold": NUMBERS,
        "--boxes": (*NUMBERS, "otsu", "quantile=2", "search=", "max-fraction=nan"), "--input-size": NUMBERS,
        "--seed": NUMBERS, "--dtype": ("auto", "float16", "x"), "--device": ("cpu", "cuda:99", "x", "meta", ""),
        "--pretrained": ("none", "x", "/dev/null", "/", "\udcff"), "-o": PATHS, "--colour-map": ("turbo", "x", "\x1b"),
        "--fit": ("crop", "pad", "x"), "--set": (*NAMES, "colourcam.power=2", "x.y=z", "=", "."), "--encoder": NAMES,
        "--calibration": PATHS, "--config": PATHS, "--cache-dir": PATHS,
    },
    "compare": {
        "--methods": NAMES, "--dataset": (*NAMES, "patches:broken", "patches:x", "unruly:raises", "table", "voc"),
        "--data-dir": PATHS, "--protocol": (*NAMES, "anybox", "maxboxacc", "cam2016"), "--threshold": NUMBERS,
        "--template": TEXTS, "--metric": (*NAMES, "pxap", "energy", "insertion"), "--limit": ("1", "2", *NUMBERS),
        "--shard": ("1/2", "2/1", "0/0", "1/99999999999", *NUMBERS), "--on-error": ("skip", "x"), "--out": PATHS,
        "--classifier": NAMES, "--config": PATHS,
    },
    "report": {
        "-o": PATHS, "--threshold": NUMBERS, "--thresholds-from": PATHS, "--gallery": NUMBERS, "--image": TEXTS,
        "--data-dir": PATHS,
    },
    "features": {"--features": NAMES, "--layer": NAMES, "--pca": NUMBERS, "--maps": NUMBERS, "-o": PATHS},
    "methods": {}, "encoders": {}, "datasets": {}, "plugins": {},
}  # fmt: skip
STREAMS = ("utf-8", "utf-8", "ascii", "cp1252")


def attack(given: Attack) -> Tally:
    tally = Tally("options and texts")
    picture = given.folder / "picture.png"
    planted_image({"red": (8, 8, 40, 40)}).save(picture)
    assert run(["compare", *_planted("compare"), "--limit", "2", "--out", str(given.folder / "run")]).code == 0
    for number in range(given.count):
        arguments = asked(given.chance, str(picture), str(given.folder / "run"))
        environment = {
            "COLUMNS": given.chance.choice(("160", "0", "1", "x")), "NO_COLOR": given.chance.choice(("", "1")),
            "MPLBACKEND": given.chance.choice(("", "module://matplotlib_inline.backend_inline", "x")),
        }  # fmt: skip
        encoding = given.chance.choice(STREAMS)
        work = given.folder / str(number)
        work.mkdir()
        done = run(arguments, lambda at=work, env=environment, code=encoding: _enter(at, env, code))
        wrong = not_json(done.stdout) if done.code == 0 and "--json" in arguments and "--help" not in arguments else ""
        if not wrong and any(sign in done.stdout + done.stderr for sign in ("\x1b[2J", "\u202e")):
            wrong = "a control sequence is obeyed"
        tally.judge(f"{number}: {[each[:60] for each in arguments]} {environment} {encoding}", done, wrong)
    return tally


def asked(chance: random.Random, picture: str, run_folder: str) -> list[str]:
    command = chance.choice(("explain", "explain", "compare", "compare", "report", "features", *OPTIONS))
    options = OPTIONS[command]
    arguments = [command]
    if command in ("explain", "features"):
        arguments += [picture, *_planted(command)]
    elif command == "compare":
        arguments += [*_planted(command), "--limit", "1"]
    elif command == "report":
        arguments += [run_folder]
    else:
        arguments += chance.choice(([], [chance.choice(NAMES)], ["--help"]))
    for option in chance.sample(sorted(options), k=min(len(options), chance.choice((1, 1, 2, 3)))):
        arguments += [option, chance.choice(options[option])]
    if command in ("explain", "compare", "report", "features", "plugins") and chance.random() < 0.5:
        arguments.append("--json")
    return [argument for argument in arguments if "\x00" not in argument]  # which no command line can hold


def _planted(command: str) -> list[str]:
    if command == "features":
        return ["--encoder", "planted-cnn"]
    if command == "explain":
        return ["--text", "red", "--methods", "everywhere", "--encoder", "planted-cnn"]
    return ["--dataset", "patches", "--methods", "everywhere", "--encoder", "planted-cnn"]


def _enter(folder: object, environment: dict[str, str], encoding: str) -> None:
    import os
    import sys

    os.chdir(str(folder))
    os.environ.update(environment)
    sys.stdout.reconfigure(encoding=encoding, errors="strict")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding=encoding)  # type: ignore[union-attr]
