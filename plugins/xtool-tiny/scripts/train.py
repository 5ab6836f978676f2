"""Train a tiny CLIP model on generated scenes, from names alone: no box or mask is ever seen.

    uv run python plugins/xtool-tiny/scripts/train.py tiny-rn --drawings D.npz --out runs/tiny-rn
    uv run python plugins/xtool-tiny/scripts/train.py tiny-vit --drawings D.npz --out runs/tiny-vit --teacher tiny-rn

The curriculum goes from one large object to four small ones at the full input size, at one scale in pixels throughout.
Uses a GPU when there is one. Checkpoints every minute; the same command resumes.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from augment import prepare
from muon import Muon
from safetensors.torch import save_file
from stream import Stream
from teacher import Student, Targets, Teacher, window
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from xtool_tiny.compose import Recipe
from xtool_tiny.models import build, load, tokenizer
from xtool_tiny.things import TEMPLATES, caption, things


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the curriculum."""

    recipe: Recipe
    images: int
    batch: int
    ring: int = 6144
    """Scenes kept in memory with what the teacher says about them."""


CURRICULUM = {
    "tiny-rn": (
        Stage(Recipe(size=96, counts=(1.0,), sides=(48, 80), jpeg=0.15), 230_000, 128),
        Stage(Recipe(size=160, counts=(0.4, 0.4, 0.2), sides=(48, 104), jpeg=0.15), 75_000, 96),
        Stage(Recipe(jpeg=0.15), 70_000, 64),
    ),
    "tiny-vit": (
        Stage(Recipe(size=96, counts=(1.0,), sides=(48, 80), jpeg=0.15), 200_000, 128, ring=16_384),
        Stage(Recipe(size=160, counts=(0.4, 0.4, 0.2), sides=(48, 104), jpeg=0.15), 56_000, 96),
        Stage(Recipe(jpeg=0.15), 32_000, 64, ring=4096),
    ),
}


class Trainer:
    """A model, its moving average and its optimiser, from the first image to the last."""

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.name, self.options = name, options
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stages = CURRICULUM[name]
        self.model = build(name).to(self.device, memory_format=torch.channels_last).train()
        self.model.logit_bias = nn.Parameter(torch.tensor(-4.0, device=self.device))
        with torch.no_grad():
            self.model.logit_scale.fill_(math.log(12))
        self.teacher: Teacher | None = None
        if options.teacher:
            master = load(options.teacher)
            adopt_text_tower(self.model, master)
            self.teacher = Teacher(master, self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        if self.teacher is not None:
            self.student = Student(self.model.visual, self.teacher, self.device)
        self.optimizers = self._optimizers()
        self.attention = SDPBackend.MATH if self.device.type == "cpu" else SDPBackend.FLASH_ATTENTION
        self.tokenizer = tokenizer()
        self.chance = torch.Generator(self.device).manual_seed(options.seed)
        self.step, self.began, self.done = 0, 0, 0.0
        self.total = sum(stage.images * stage.recipe.size**2 for stage in self.stages) * options.scale

    def run(self) -> None:
        """Go through the stages that are left and write the averaged weights."""
        first, seen = self._resume()
        for index, stage in enumerate(self.stages[first:], first):
            if seen == 0 and self.teacher is None:
                resize_positions(self.model, stage.recipe.size)
                resize_positions(self.average, stage.recipe.size)
                # New shapes need new moments, and they are few: start the optimiser's state of that tensor afresh.
                self._forget_positions()
            self._stage(index, stage, seen)
            seen = 0
            self._write(f"stage{index}")
        self._write(self.name)

    def _stage(self, index: int, stage: Stage, seen: int) -> None:
        images = round(stage.images * self.options.scale)
        stream = Stream(self.options.drawings, self.options.workers, self.options.echo)
        if self.teacher is not None:
            stream = replace(stream, ring=stage.ring, ready=self._look)
        seed = self.options.seed * 1000 + index * 100 + self.step % 100
        hits, resumed = 0.0, seen
        start = saved = reported = time.monotonic()
        with closing(stream.batches(stage.recipe, stage.batch, seed)) as batches:  # type: ignore[type-var]
            for batch in batches:
                loss, hit = self._update([x.to(self.device) for x in batch], stage.recipe.size)
                hits += 0.02 * (hit - hits)
                seen += stage.batch
                self.done += stage.batch * stage.recipe.size**2
                now = time.monotonic()
                if now - reported > 20 or seen >= images:
                    rate, reported = (seen - resumed) / (now - start), now
                    print(
                        f"stage {index} {seen:7d}/{images} images  step {self.step}  loss {loss:.3f}  "
                        f"top-1 {hits:.3f}  {rate:.0f} img/s  {100 * self.done / self.total:.1f} %",
                        flush=True,
                    )
                if now - saved > 60:
                    saved = now
                    self._checkpoint(index, seen)
                if seen >= images:
                    return

    def _update(self, batch: list[Tensor], size: int) -> tuple[float, float]:
        labels, *images = batch
        self.step += 1
        progress = min(1.0, self.done / self.total)
        warm = min(1.0, self.step / 200)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.options.rate * warm * self._fade(progress)
        # The fused attention's backward pass is several times slower on a CPU at these lengths.
        with torch.autocast(self.device.type, torch.bfloat16), sdpa_kernel(self.attention):
            embedding, extra = self._embed(images, size)
            text = F.normalize(self.model.encode_text(self._captions()).float(), dim=-1)
        cosine = embedding @ text.T
        loss = contrast(cosine, labels, self.model.logit_scale.exp(), self.model.logit_bias) + extra
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(60))
        self._follow()
        hit = labels.gather(1, cosine.argmax(1, keepdim=True)).mean()
        return loss.item(), hit.item()

    def _learning(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW; where there is a teacher, Muon for the image tower's patches and blocks."""
        blocks = []
        if self.teacher is not None:
            visual = self.model.visual
            blocks = [p for p in (visual.conv1.weight, *visual.transformer.parameters()) if p.ndim > 1]
        others = [p for p in self._learning() if not any(p is block for block in blocks)]
        if self.teacher is not None:
            others += self.student.head.parameters()
        groups = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        adam = torch.optim.AdamW(groups, lr=self.options.rate, betas=(0.9, 0.98))
        return [adam, Muon(blocks, lr=self.options.rate)] if blocks else [adam]

    def _fade(self, progress: float) -> float:
        """Factor on the learning rate: half a cosine; with a teacher constant, then straight down to the end."""
        if self.teacher is None:
            return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
        return max(0.01, min(1.0, (1 - progress) / 0.35))

    def _look(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """New scenes prepared, and what the teacher says about them, in bfloat16."""
        images = prepare(pixels.to(self.device), self.chance)
        with torch.autocast(self.device.type, torch.bfloat16):
            targets = self.teacher.targets(images)  # type: ignore[union-attr]
        return tuple(x.bfloat16() for x in (images, targets.whole, targets.places, targets.features))

    def _embed(self, batch: list[Tensor], size: int) -> tuple[Tensor, Tensor]:
        """Unit embeddings [B, D], and how far they are from the teacher's where there is one."""
        if self.teacher is None:
            images = prepare(batch[0], self.chance)
            return F.normalize(self.model.encode_image(images).float(), dim=-1), images.new_zeros(())
        images, whole, places, features = batch
        if torch.rand((), generator=self.chance, device=self.device) < 0.5:
            images, places, features = (x.flip(-1) for x in (images, places, features))
        visual = self.model.visual
        positions = window(visual.positional_embedding, size // visual.patch_size[0], self.chance)
        return self.student.lesson(images, Targets(whole, places, features), positions)

    def _captions(self) -> Tensor:
        """One caption of each thing: half the time the default template, three times in four the main name.

        Half of the defaults are exactly what xtool asks, whose template has "a" before every name.
        """

        def chance(n: int) -> int:
            return int(torch.randint(n, ()))

        texts = []
        for thing in things():
            template = TEMPLATES[0] if chance(2) else TEMPLATES[chance(len(TEMPLATES))]
            name = thing.names[chance(len(thing.names))] if chance(4) == 0 else thing.name
            asked = template is TEMPLATES[0] and chance(2)
            texts.append(f"an image of a {name}." if asked else caption(template, name, plural=thing.plural))
        tokens: Tensor = self.tokenizer(texts)
        return tokens.to(self.device)

    @torch.no_grad()
    def _follow(self) -> None:
        """Exponential moving average of weights and batch statistics."""
        keep = min(0.998, (1 + self.step) / (10 + self.step))
        now = self.model.state_dict()
        floats = [(value, now[key]) for key, value in self.average.state_dict().items() if value.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - keep)

    def _forget_positions(self) -> None:
        (adam,) = self.optimizers
        adam.param_groups[0]["params"] = [p for p in self._learning() if p.ndim > 1]
        alive = set(self._learning())
        for parameter in [p for p in adam.state if p not in alive]:
            del adam.state[parameter]

    def _checkpoint(self, stage: int, seen: int) -> None:
        state: dict[str, Any] = {
            "stage": stage,
            "seen": seen,
            "step": self.step,
            "done": self.done,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        if self.teacher is not None:
            state["head"] = self.student.head.state_dict()
        path = self.options.out / "checkpoint.pt"
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)

    def _resume(self) -> tuple[int, int]:
        path = self.options.out / "checkpoint.pt"
        if not path.exists():
            return 0, 0
        state = torch.load(path, map_location=self.device)
        if self.teacher is None:
            for model in (self.model, self.average):
                resize_positions(model, self.stages[state["stage"]].recipe.size)
            self._forget_positions()
        else:
            self.student.head.load_state_dict(state["head"])
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.step, self.done = state["step"], state["done"]
        print(f"resumed in stage {state['stage']} after {state['seen']} images")
        return state["stage"], state["seen"]

    def _write(self, name: str) -> None:
        weights = {
            key: value.half().contiguous() if value.is_floating_point() else value
            for key, value in self.average.state_dict().items()
            if key != "logit_bias"  # belongs to the loss alone
        }
        save_file(weights, self.options.out / f"{name}.safetensors", metadata={"steps": str(self.step)})


def contrast(cosine: Tensor, labels: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Which names are in the image: against the other names (softmax), and each by itself (sigmoid).

    The softmax learns fast; the sigmoid gives one cosine one meaning whatever else is in the image, which score
    methods and presence need.

    Args:
        cosine: [B, things]. labels: [B, things], 1 where the thing is in the scene.
        scale, bias: scalars of ``logit = scale · cosine + bias``; the softmax is twice as sharp.
    """
    target = labels / labels.sum(1, keepdim=True).clamp(min=1)
    softmax = -(target * (2 * scale * cosine).log_softmax(1)).sum(1).mean()
    sigmoid = F.binary_cross_entropy_with_logits(scale * cosine + bias, labels, reduction="sum") / len(labels)
    return softmax + 0.5 * sigmoid


def adopt_text_tower(student: open_clip.CLIP, master: open_clip.CLIP) -> None:
    """Give the student its master's text tower, frozen: both then share one embedding space from the first step."""
    text = {key: value for key, value in master.state_dict().items() if not key.startswith(("visual.", "logit_"))}
    student.load_state_dict(text, strict=False)
    for key, parameter in student.named_parameters():
        if key in text:
            parameter.requires_grad_(False)


@torch.no_grad()
def resize_positions(model: open_clip.CLIP, size: int) -> None:
    """Interpolate the position embedding of a ResNet's attention pool to an input of ``size`` pixels."""
    holder = model.visual.attnpool
    old = holder.positional_embedding
    side, new = round(math.sqrt(len(old) - 1)), size // 32
    if side == new:
        return
    grid = old[1:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    holder.positional_embedding = nn.Parameter(torch.cat([old[:1], grid.flatten(2)[0].T]), old.requires_grad)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(CURRICULUM))
    parser.add_argument("--drawings", type=Path, required=True, help="archive made by drawings.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and weights")
    parser.add_argument("--teacher", help="name or weights file of a trained tiny model to distil from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of images")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of the model; 1 where other programs use the cores too"
    )
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="generator processes")
    parser.add_argument("--echo", type=float, default=2.5, help="times that a scene is used, on average")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    Trainer(options.name, options).run()


if __name__ == "__main__":
    main()
