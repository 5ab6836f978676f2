"""Encoder: images a second of the image tower alone

*open_clip* is its tower as it is, in evaluation and inference mode; *compiled* is the same tower under `torch.compile`
with frozen weights, the limit of what this machine gives. *xtool* is `encode_image` under `torch.inference_mode()`:
from float32 pixels to unit embeddings, by a tower with its batch norms folded, in a layout and in tiles of its own
choice. Compiled, it falls back to the uncompiled way for a rest that fills no tile.
"""

from __future__ import annotations

from benchmarks.speed.bare import forms
from benchmarks.speed.plan import DTYPES, Plan
from benchmarks.speed.tables import Table


def run(plan: Plan) -> None:
    row = Table("device", "dtype", "tower", "layout", "batch", "images/s")
    for device in plan.devices:
        for dtype in DTYPES:
            for compiled in plan.compiled:
                for own in (False, True):
                    for form in forms(plan, device, dtype, own=own, compiled=compiled):
                        tower = ("xtool" if own else "open_clip") + (", compiled" if compiled else "")
                        layout = "its own" if own else form.layout
                        row(device, dtype, tower, layout, form.batch, form.rate(plan.rounds))
