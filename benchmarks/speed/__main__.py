"""``python -m benchmarks.speed [section …]``: prints Markdown tables."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.speed import (
    agreement,
    boxes,
    comparing,
    encoder,
    engine,
    imagenet,
    machine,
    memory,
    methods,
    models,
    peers,
    scaling,
    startup,
    transformers,
    workers,
)
from benchmarks.speed.plan import Plan
from benchmarks.speed.tables import say

SECTIONS = {
    "encoder": encoder,
    "engine": engine,
    "methods": methods,
    "peers": peers,
    "transformers": transformers,
    "workers": workers,
    "agreement": agreement,
    "comparing": comparing,
    "imagenet": imagenet,
    "scaling": scaling,
    "startup": startup,
    "boxes": boxes,
    "memory": memory,
}


def main() -> None:
    plan, names = parse()
    say("\n".join(machine.describe()))
    if not any(device.startswith("cuda") for device in plan.devices):
        say(
            "\nThe rows of a GPU are left out: "
            + ("none was asked for." if torch.cuda.is_available() else "none here.")
        )
    for name in names:
        title, _, text = (SECTIONS[name].__doc__ or "").partition("\n")
        say(f"\n### {title}\n\n{text.strip()}")
        SECTIONS[name].run(plan)


def parse() -> tuple[Plan, list[str]]:
    """The plan and the names of the sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="How fast xtool is, as Markdown.")
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all without one")
    parser.add_argument("--quick", action="store_true", help="smallest sizes on tiny-rn, to see that it works")
    parser.add_argument("--encoder", help="of the sections about one encoder (RN50)")
    parser.add_argument("--maps", type=int, help="feature maps scored per image, by every tool alike")
    parser.add_argument("--rounds", type=int, help="least number of measurements behind a median (3)")
    parser.add_argument("--photo", type=Path, help="a photograph; by default a bundled scene")
    parser.add_argument("--devices", default="all", help="cpu, cuda, or cpu,cuda; by default what is there")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument(
        "--as-initialised",
        action="store_true",
        help="random weights as open_clip initialises them, where half of the maps are dead and blocks do nothing",
    )
    given = parser.parse_args()
    if given.as_initialised:
        models.take_weights_as_initialised()
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    plan = Plan(
        devices=there if given.devices == "all" else tuple(given.devices.split(",")),
        quick=given.quick,
        encoder=given.encoder or ("tiny-rn" if given.quick else "RN50"),
        maps=given.maps,
        rounds=given.rounds or (1 if given.quick else 3),
        photo=given.photo,
        compile=not (given.no_compile or given.quick),
    )
    return plan, given.sections or list(SECTIONS)


if __name__ == "__main__":
    main()
