"""Data sets whose annotations, tables, lists or pictures somebody changed: read, or refused with the file's name."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.campaign.harness import Attack, Done, Tally, not_json, run
from tests.campaign.pictures import mutated
from tests.campaign.states import changed
from xtool.testing.planted import planted_image

COUNT = 4
"""Pictures in each data set, one sample a picture."""
BOX = (8, 8, 40, 40)
COLOURS = ("red", "green")
PICTURES = (".png", ".jpeg")
RUN = ("--methods", "everywhere", "--encoder", "planted-cnn", "--json")

TOKENS = (
    "nan", "inf", "-1", "1e400", "9" * 400, "0", "", "x", "١٢", "1,5", "0.1", "\x1b[2J", "\u202e", "[red]", '"', "'",
    "<!--", "&lol;", "]]>", "../../etc/passwd", "/dev/zero", "C:\\x.png", "\x00", "\ufeff", "\u2028", "null", "{}",
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-8-sig", "gbk", "cp1252", "utf-32")
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + "a" * 1000 + '">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 30}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]><annotation><filename>&h;</filename></annotation>"
)  # fmt: skip
STRANGE = (b"", b"\x00" * 1000, b"[" * 100_000, b"<" * 1000, b"<a>" * 50_000, b'"' * 140_000, BOMB.encode())


def attack(given: Attack) -> Tally:
    tally = Tally(f"changed data sets in {len(LAYOUTS)} layouts")
    for number in range(given.count):
        layout = given.chance.choice(sorted(LAYOUTS))
        folder = given.folder / f"{number}-data"
        folder.mkdir()
        data = LAYOUTS[layout](folder)
        what = spoil(folder, given.chance)
        name = layout.partition(" ")[0]
        on_error = ("--on-error", given.chance.choice(("stop", "skip")))
        out = given.folder / f"{number}-run"
        done = run(["compare", "--dataset", name, "--data-dir", str(data), *RUN, *on_error, "--out", str(out)])
        wrong = _wrong(done, folder)
        tally.judge(f"{layout}, attempt {number}, {what}", done, wrong)
        if not wrong:
            shutil.rmtree(folder)
            shutil.rmtree(out, ignore_errors=True)
    return tally


def voc(folder: Path) -> Path:
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "some.txt").write_text("0 1\n1 -1\n2 1\n")
    for number, colour in _pictures(folder / "JPEGImages", ".png"):
        corners = "".join(
            f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True)
        )
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>64</width><height>64</height></size>"
            f"<object><name>{colour}</name><bndbox>{corners}</bndbox></object></annotation>"
        )
    return folder


def table(folder: Path) -> Path:
    rows = [f"{number}.png,{colour},{' '.join(map(str, BOX))}" for number, colour in _pictures(folder, ".png")]
    (folder / "table.csv").write_text("\n".join(["image,label,boxes", *rows]) + "\n")
    return folder


def lines(folder: Path) -> Path:
    rows = [{"image": f"{number}.png", "label": colour, "boxes": [BOX]} for number, colour in _pictures(folder, ".png")]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def coco(folder: Path) -> Path:
    found = list(_pictures(folder / "val", ".png"))
    x0, y0, x1, y1 = BOX
    told = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 64} for n, _ in found],
        "categories": [{"id": row + 1, "name": colour} for row, colour in enumerate(COLOURS)],
        "annotations": [
            {
                "id": n, "image_id": n, "category_id": COLOURS.index(colour) + 1, "iscrowd": 0,
                "bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
            }
            for n, colour in found
        ],
    }  # fmt: skip
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_val.json").write_text(json.dumps(told))
    return folder


def imagenet(folder: Path) -> Path:
    (folder / "LOC_synset_mapping.txt").write_text("n00000001 red\nn00000002 green\n")
    rows = [
        f"{number},n0000000{COLOURS.index(colour) + 1} {' '.join(map(str, BOX))}"
        for number, colour in _pictures(folder / "val", ".JPEG")
    ]
    (folder / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *rows]) + "\n")
    return folder


def wsol(folder: Path) -> Path:
    (folder / "LOC_synset_mapping.txt").write_text("n00000001 red\nn00000002 green\n")
    found = [(f"val/{number}.JPEG", colour) for number, colour in _pictures(folder / "val", ".JPEG")]
    (folder / "image_ids.txt").write_text("".join(f"{name}\n" for name, _ in found))
    (folder / "class_labels.txt").write_text("".join(f"{name},{COLOURS.index(c)}\n" for name, c in found))
    (folder / "localization.txt").write_text("".join(f"{name},{','.join(map(str, BOX))}\n" for name, _ in found))
    (folder / "image_sizes.txt").write_text("".join(f"{name},64,64\n" for name, _ in found))
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "voc": voc, "table": table, "table of lines": lines, "coco": coco, "imagenet": imagenet, "imagenet for wsol": wsol,
}  # fmt: skip
"""The data set's name first, then which of its layouts."""


def _pictures(folder: Path, ending: str) -> list[tuple[int, str]]:
    """Pictures with one coloured square each, and their colours."""
    folder.mkdir(exist_ok=True)
    found = [(number, COLOURS[number % len(COLOURS)]) for number in range(COUNT)]
    for number, colour in found:
        planted_image({colour: BOX}).save(folder / f"{number}{ending}", "JPEG" if ending == ".JPEG" else "PNG")
    return found


def spoil(folder: Path, chance: random.Random) -> str:
    """Change one file; what was done to which."""
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [path for path in every if path.suffix.lower() not in PICTURES]
    path = chance.choice(texts if chance.random() < 0.85 else every)
    how = chance.choice(["bytes", "token", "token", "line", "encoding", "replaced", "gone", "json"])
    if path not in texts and how not in ("replaced", "gone"):
        how = "bytes"
    if how == "json":
        how = "json" if path.suffix == ".json" else "token"
    SPOILERS[how](path, chance)
    return f"{how} of {path.relative_to(folder)}"


def _bytes(path: Path, chance: random.Random) -> None:
    path.write_bytes(mutated(path.read_bytes(), chance))


def _token(path: Path, chance: random.Random) -> None:
    text = path.read_text("utf-8")
    places = [at for at, letter in enumerate(text) if letter in " ,<>:[\n"]
    start = chance.choice(places) + 1 if places else 0
    end = next((at for at in places if at >= start), len(text))
    path.write_text(text[:start] + chance.choice(TOKENS) + text[end:], "utf-8")


def _line(path: Path, chance: random.Random) -> None:
    rows = path.read_text("utf-8").split("\n")
    at = chance.randrange(len(rows))
    rows[at : at + 1] = chance.choice(([], [rows[at]] * 2, ["", ""], [rows[at] * 2000], [rows[at][:5]]))
    path.write_text("\n".join(rows), "utf-8")


def _encoding(path: Path, chance: random.Random) -> None:
    path.write_text(path.read_text("utf-8").replace("red", "röd"), chance.choice(ENCODINGS), errors="replace")


def _replaced(path: Path, chance: random.Random) -> None:
    path.unlink()
    what = chance.randrange(4)
    if what == 0:
        path.mkdir()
    elif what == 1:
        path.symlink_to(path)
    elif what == 2:
        os.mkfifo(path)
    else:
        path.write_bytes(chance.choice(STRANGE))


def _gone(path: Path, _: random.Random) -> None:
    path.unlink()


def _json(path: Path, chance: random.Random) -> None:
    path.write_text(json.dumps(changed(json.loads(path.read_text("utf-8")), chance)), "utf-8")


SPOILERS = {
    "bytes": _bytes, "token": _token, "line": _line, "encoding": _encoding, "replaced": _replaced, "gone": _gone,
    "json": _json,
}  # fmt: skip


def _wrong(done: Done, folder: Path) -> str:
    if any(sign in done.stdout + done.stderr for sign in ("\x1b[2J", "\u202e")):
        return "a control sequence is obeyed"
    if done.code:
        told = "".join(done.stderr.split())  # a terminal's lines may end in the middle of a path
        return "" if folder.name in told else f"the file is not named: {done.stderr[-300:]}"
    if problem := not_json(done.stdout):
        return problem
    found = json.loads(done.stdout)
    (row,) = found["rows"]
    if row["images"] + found["failed"] > 2 * COUNT:
        return f"{row['images']} images and {found['failed']} failures of {COUNT}"
    return ""
