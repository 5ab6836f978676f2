"""Writes ``docs/towers.md``: which method works on which kind of image tower, tried on small random ones.

    uv run python docs/generate_towers.py

The page is committed; a slow test of ``tests/test_towers.py`` makes it again and compares. A method either gives a map
or is refused in words; any other error ends the program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from xtool.contracts.registry import registry
from xtool.engine.methods import build_method, parse_methods
from xtool.engine.work import Kept, account
from xtool.errors import UsageError

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "plugins/xtool-vit/tests"))

from vit_towers import CNNS, FURTHER, TOWERS, make_tower, pixels_for, texts_for  # noqa: E402

OWNERS = ("vit", "cam", "vlscore")
CONTROLS = ("random", "center")
BESIDE = ("vlscore:preset=gscorecam", "gradcam:refine=caa", "gradcam:refine=pamr")
"""Ways of calling that are not a method's name, and could meet a tower of their own kind of trouble."""
NOTHING = "the map is constant: on random weights the method finds nothing of the text"
HEAD = """<!-- Written by docs/generate_towers.py. Do not edit: change the code and run it again. -->

# Methods and towers

Which method works on which kind of image tower that `xtool-clip` describes, tried on small ones with random weights by
`python docs/generate_towers.py` in a checkout.

## Towers

One row for each class of image tower that open_clip 3.3 builds. Tests hold the embeddings of each against open_clip's
own (10⁻⁵). Tokens without a place (class token, registers) stand before the patches, and are left out of every map.
"""
# ruff: noqa: E501 - rows of a table
POOLINGS = """
## What the pooling means for a method

| | a class token is the embedding | mean of the patches | attention pools | a CNN's maps |
|---|---|---|---|---|
| Grad-CAM and its kin, `layer=auto` | the normed input of the last block's attention: of the block's output only the class token goes on | the last block's output | the last block's output | the last stage |
| `dense`, `gem`, `surgery` | each patch projected as the class token is | each patch as a mean of one | each patch as the only one that the pool may ask | – |
| `rawattention`, `rollout`, `chefer` | the class token's row | the mean of the patches' rows | the pool is one more attention, after the last block | – |
| `legrad` | the gradient of each block's attention, by the mean of the block's tokens | the same | the gradient of the pool's attention, asked after every block | – |
| `gradeclip` | what the last attention gives to the class token | to every token | to every token | – |
| `prs` | what the class token reads | what patches read, in equal shares | what tokens read, in the shares that the pool gives them | – |
| masks at the pool (`mask_at=pool`) | class tokens beside the ordinary one, each of which sees only what its mask shows, from the first block on | the mean of what a mask shows | the pool asked under the mask | the mean, or the attention pool, under the mask |
| features `attention` | the class token's, by head | refused: no token's attention is the embedding | refused | refused |

Planted towers, whose weights are set by hand so that the evidence for a text lies at a known place, hold this for each
of the three poolings of transformers, with and without three registers before the patches: the map of every method that
reads the text peaks where its colour was painted (`tests/integration/test_planted_poolings.py`).

## Methods

*Yes* is a map that is finite and not constant; a number is the reason why there is none, in the program's own words.
"""
MODELS = {
    "class token": "`ViT-B-16` and most others",
    "mean": "ViT with `pool_type: avg`",
    "layer scale": "ViT with `ls_init_value`",
    "CLIPA": "`ViT-L-14-CLIPA`, `ViT-H-14-CLIPA`",
    "CoCa": "`coca_ViT-B-32`, `coca_ViT-L-14`",
    "SigLIP": "`ViT-B-16-SigLIP`, `ViT-B-16-SigLIP2`, `nllb-clip-base-siglip`",
    "timm, class token": "`MobileCLIP-B`, `MobileCLIP2-L-14`",
    "timm, mean": "`vit_medium_patch16_gap_256`",
    "registers, mean": "any of timm with registers",
    "registers, map": "any of timm with registers",
    "relative positions": "`vit_relpos_medium_patch16_cls_224`",
    "EVA01": "`EVA01-g-14`",
    "EVA02": "`EVA02-B-16`, `EVA02-L-14`",
    "PE": "`PE-Core-B-16`, `PE-Core-L-14-336`",
    "PE without class token": "`PE-Core-bigG-14-448`",
    "ViTamin": "`ViTamin-S`, `ViTamin-L`",
    "ResNet": "`RN50`, `RN50x4`",
    "ConvNeXt": "`convnext_base`, `convnext_large_d`",
    "EfficientNet": "any CNN of timm",
    "FastViT": "`MobileCLIP-S1`, `MobileCLIP2-S3`",
    "Swin": "`swin_base_patch4_window7_224`",
}
"""Of open_clip, by the kind of their tower."""


def main() -> None:
    """Write the page."""
    torch.set_num_threads(1)  # on towers this small, threads only wait for one another
    path = HERE / "towers.md"
    text = page()
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        print("written: docs/towers.md")


def page() -> str:
    """The page as it should be now."""
    kinds, calls = [*TOWERS, *FURTHER, *CNNS], list(methods())
    found = {kind: answers(kind, calls) for kind in kinds}
    reasons = list(dict.fromkeys(why for call in calls for kind in kinds if (why := found[kind][call])))
    lines = [HEAD, *_towers(kinds), POOLINGS, *_table(kinds, calls, found, reasons), ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    fits = [found[kind][call] for call in calls for kind in kinds if _architecture(kind) in _architectures(call)]
    works = sum(why == "" for why in fits)
    lines += ["", f"Of {len(fits)} pairs of a method and a tower of an architecture that it is made for, {works} work."]
    return "\n".join(lines) + "\n"


def methods() -> Iterable[str]:
    """What is tried: every method of the plugins but the controls, and what stands beside."""
    for item in registry().saliency_methods:
        if item.owner in OWNERS and item.spec.name not in CONTROLS:
            yield item.spec.name
    yield from BESIDE


@cache
def small_tower(kind: str) -> Any:
    """With random weights."""
    return make_tower(kind, small=True)


def answers(kind: str, calls: Iterable[str]) -> dict[str, str]:
    """For each method the words of its refusal on a tower; empty where there is a map."""
    encoder, kept = small_tower(kind), Kept()
    pixels, text = pixels_for(encoder, 1), texts_for(encoder, 2)
    found = {}
    for call in calls:
        try:
            (request,) = parse_methods([call])
            with account(kept), torch.no_grad():  # as a comparison runs them: masked images are embedded once
                maps = build_method(request, encoder.info).explain(encoder, pixels, text).maps
            found[call] = "" if maps.isfinite().all() and maps.std() > 0 else NOTHING
        except UsageError as error:
            said = str(error).replace("\n", " ").replace(encoder.info.name, "the tower")
            found[call] = said.replace(f"method {request.provided.spec.name} ", "the method ")
    return found


def _towers(kinds: Iterable[str]) -> Iterable[str]:
    yield "| tower | models | pooled by | without a place | queries, keys, values | masks where it pools |"
    yield "|---|---|---|---|---|---|"
    for kind in kinds:
        encoder = small_tower(kind)
        layer, pooled, without, read = encoder.layer("auto"), "maps", "–", "–"
        if encoder.info.architecture == "vit":
            pooled, without, read = layer.pooling.kind, str(layer.layout.prefix_tokens), "yes"
            try:
                layer.block  # noqa: B018 - reading it is the question
            except UsageError:
                read = "no"
        masks = "yes" if encoder.info.pools_masks else "no"
        yield f"| {kind} | {MODELS[kind]} | {pooled} | {without} | {read} | {masks} |"


def _table(kinds: list[str], calls: list[str], found: dict[str, dict[str, str]], reasons: list[str]) -> list[str]:
    def cell(why: str) -> str:
        return f"{reasons.index(why) + 1}" if why else "yes"

    rows = [("method", *kinds), ("---",) * (len(kinds) + 1)]
    rows += [(f"`{call}`", *(cell(found[kind][call]) for kind in kinds)) for call in calls]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _architecture(kind: str) -> str:
    return "cnn" if kind in CNNS else "vit"


def _architectures(call: str) -> tuple[str, ...]:
    (request,) = parse_methods([call])
    return ("vit",) if "caa" in (request.config.refine or "") else request.provided.spec.architectures


if __name__ == "__main__":
    main()
