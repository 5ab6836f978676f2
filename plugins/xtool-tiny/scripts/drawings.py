"""Fetch emoji sets from npm and render one drawing of every thing to ``drawings.npz``.

    uv run --with resvg-py==0.5.0 python plugins/xtool-tiny/scripts/drawings.py OUT.npz

Needs ``npm`` (to download, not to run, pinned packages). The drawings are not part of the repository.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from xtool_tiny.drawings import SIDE, VENDORS, Vendor, save
from xtool_tiny.things import things


def fetch(vendor: Vendor, folder: Path) -> dict[str, Any]:
    """Download one pinned icon set and return its ``icons.json``; raises if its licence is not the recorded one."""
    package = f"@iconify-json/{vendor.name}@{vendor.version}"
    subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob(f"iconify-json-{vendor.name}-{vendor.version}.tgz")
    with tarfile.open(archive) as packed:
        icons, info = (
            json.load(packed.extractfile(f"package/{name}.json") or io.BytesIO()) for name in ("icons", "info")
        )
    if info["license"]["spdx"] != vendor.licence:
        raise SystemExit(f"{package}: licence is {info['license']['spdx']}, expected {vendor.licence}")
    return icons


def render(icons: dict[str, Any], names: tuple[str, ...]) -> NDArray[np.uint8] | None:
    """Draw the first of ``names`` that the set has: RGBA, cropped to what is visible, longest side ``SIDE``."""
    for name in names:
        target = icons.get("aliases", {}).get(name, {}).get("parent", name)
        if target in icons["icons"]:
            return _draw(icons, icons["icons"][target])
    return None


def _draw(icons: dict[str, Any], icon: dict[str, Any]) -> NDArray[np.uint8]:
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" width="{width}" height="{height}">'
        f"{icon['body']}</svg>"
    )
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=3 * SIDE, skip_system_fonts=True))
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    # Faint shadows would make boxes larger than what one sees.
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox())
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    drawings: dict[tuple[str, str], NDArray[np.uint8]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for vendor in VENDORS:
            icons = fetch(vendor, Path(folder))
            for thing in things():
                if (drawing := render(icons, thing.drawings)) is not None:
                    drawings[vendor.name, thing.name] = drawing
            count = sum(name == vendor.name for name, _ in drawings)
            print(f"{vendor.name} {vendor.version}: {count} of {len(things())} things")
    save(out, drawings)


if __name__ == "__main__":
    main()
