"""Pictures in every format that Pillow writes, with bytes changed, lost, doubled or moved."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

from PIL import Image, features

from tests.campaign.harness import Attack, Tally, not_json, run
from xtool.testing.planted import planted_image

MODES = ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16")
EXPLAIN = ("--text", "red", "--method", "colourcam", "--encoder", "planted-cnn", "--json")


def attack(given: Attack) -> Tally:
    whole = written()
    tally = Tally(f"mutated pictures in {len(whole)} formats")
    for number in range(given.count):
        name = given.chance.choice(sorted(whole))
        path = given.folder / f"{number}.{name.lower()}"
        path.write_bytes(mutated(whole[name], given.chance))
        done = run(["explain", str(path), *EXPLAIN])
        wrong = not_json(done.stdout) if done.code == 0 else _unnamed(path, done.stderr)
        tally.judge(f"{name}, attempt {number}", done, wrong)
        if not wrong:
            path.unlink()
    return tally


def written() -> dict[str, bytes]:
    """One picture in each format that can be written here."""
    Image.init()
    picture = planted_image({"red": (8, 8, 40, 40), "blue": (40, 40, 60, 60)})
    found = {}
    for name in sorted(Image.SAVE):
        for mode in MODES:
            stream = BytesIO()
            try:
                made = Image.new("I;16", (64, 64), 999) if mode == "I;16" else picture.convert(mode)
                made.save(stream, name)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError):
                continue
            found[name] = stream.getvalue()
            break
    assert not features.check("avif") or "AVIF" in found
    return found


def mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        start = chance.randrange(len(changed) + 1)
        if chance.random() < 0.5:
            start = min(start, chance.randrange(64))  # headers decide most
        length = min(chance.choice((1, 1, 2, 4, 16, 64)), len(changed) - start)
        what = chance.randrange(6)
        if what == 0:
            changed[start : start + length] = chance.randbytes(length)
        elif what == 1:
            changed[start : start + length] = bytes([chance.choice((0, 255, 127, 128))]) * length
        elif what == 2:
            del changed[start : start + length]
        elif what == 3:
            changed[start:start] = changed[start : start + length]
        elif what == 4 and start:
            del changed[start:]
        elif start < len(changed):
            changed[start] ^= 1 << chance.randrange(8)
        if not changed:
            break
    return bytes(changed)


def _unnamed(path: Path, stderr: str) -> str:
    return "" if path.name in stderr else f"the file is not named: {stderr[-200:]}"
