"""What a run of the benchmarks is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Dtype = Literal["float32", "bfloat16"]
DTYPES: tuple[Dtype, ...] = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes and devices of one run."""

    devices: tuple[str, ...] = ("cpu",)
    quick: bool = False
    """The smallest sizes, to see that everything works; the numbers mean nothing."""
    encoder: str = "RN50"
    """What the sections about one encoder measure."""
    maps: int | None = None
    """Feature maps scored per image, where the command line limits them."""
    rounds: int = 3
    """How often each thing is measured at least; the median counts."""
    photo: Path | None = None
    """``None``: a bundled scene."""
    compile: bool = True
    """Whether to measure what ``torch.compile`` makes, too."""

    def limit(self, cpu: int, device: str) -> int | None:
        """Feature maps to score where a CPU is given ``cpu`` of them and a GPU all."""
        if self.maps is not None:
            return self.maps
        return 32 if self.quick else cpu if device == "cpu" else None

    @property
    def compiled(self) -> tuple[bool, ...]:
        """The settings of ``compile`` to measure."""
        return (False, True) if self.compile else (False,)
