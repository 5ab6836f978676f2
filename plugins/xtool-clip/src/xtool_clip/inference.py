"""A faster twin of a CNN image tower, for passes that nobody differentiates.

Score-based methods spend nearly all their time in thousands of such passes. The twin has its batch norms folded into
the convolutions (Jacob et al., CVPR 2018, eq. 14; exact up to rounding) and its weights laid out channels-last. It
shares what it does not fold with the tower itself, which stays as it is for gradients, hooks and state dicts.
"""

from __future__ import annotations

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

CPU_TILE = 16
"""Images at once on a CPU: more do not fit its caches, which is slower, and need more memory."""


class InferenceTwin:
    """Holds the twin of ``tower`` and makes it anew when the tower's weights have changed."""

    def __init__(self, tower: nn.Module) -> None:
        self._tower = tower
        self._twin: nn.Module | None = None
        self._weights: tuple[tuple[int, int], ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the twin computes what the tower would now: it has no hooks, which would be missed."""
        return (
            isinstance(self._tower, ModifiedResNet)
            and torch.is_inference_mode_enabled()
            and not self._tower.training
            and not next(self._tower.parameters()).is_inference()  # such tensors keep no count of their changes
            and not any(module._forward_hooks or module._forward_pre_hooks for module in self._tower.modules())
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """What the tower gives for pixels [B, 3, H, W] in its dtype."""
        weights = tuple((id(tensor), tensor._version) for tensor in self._tower.state_dict(keep_vars=True).values())
        if self._twin is None or weights != self._weights:
            self._twin, self._weights = _folded(self._tower), weights
        twin = self._twin
        tiles = torch.split(pixels, CPU_TILE) if pixels.device.type == "cpu" else (pixels,)
        return torch.cat([twin(tile.contiguous(memory_format=torch.channels_last)) for tile in tiles])


def _folded(tower: nn.Module) -> nn.Module:
    with torch.inference_mode(False), torch.no_grad():
        # "In place" spares a copy of all weights: tracing already builds new containers around the tower's modules,
        # and only the convolutions in them are replaced, by new ones.
        twin: nn.Module = fuse(tower, inplace=True)
        originals = {id(module) for module in tower.modules()}
        for module in twin.modules():
            if isinstance(module, nn.Conv2d) and id(module) not in originals:
                module.to(memory_format=torch.channels_last)
    return twin
