"""Passes that nobody differentiates, faster: by a twin of an image tower, and in half precision.

Score-based methods spend nearly all their time in thousands of such passes. The twin computes them in a dtype of its
own, bfloat16 for example, while the tower stays as it is, float32, for gradients. :class:`InferenceTwin` says when the
twin may stand in for the tower, and makes it anew when the weights have changed. :func:`folded` and
:func:`tile_by_tile` are what a twin of a convolutional tower is made of.

Where hooks must see the tower itself run, :func:`half_precision` has it multiply in half precision.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeGuard, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["Body", "InferenceTwin", "folded", "half_precision", "tile_by_tile"]

Body = Callable[[Tensor], Tensor]
"""A tower, or the part of it up to its last maps: pixels [B, 3, H, W] to what it computes of them."""

Twin = TypeVar("Twin", bound=Body)

TILE = {"cpu": 8}
"""Images at once; else as many as come. On a CPU more do not fit its caches and need more memory, and the memory
allocator hands tensors beyond 32 MiB back to the system each time, whose fresh pages cost up to a third of the pass."""

LOG = logging.getLogger("xtool")


class InferenceTwin(Generic[Twin]):
    """Holds the twin of a tower.

    Args:
        tower: what the twin stands in for.
        make: the twin, of the weights that the tower has now, for pixels like the ones that it is given. It is called
            under ``no_grad`` outside inference mode, and again when the weights have changed.
    """

    def __init__(self, tower: nn.Module, make: Callable[[Tensor], Twin]) -> None:
        self._tower = tower
        self._make = make
        self._twin: Twin | None = None
        self._weights: tuple[tuple[int, int], ...] = ()

    @property
    def usable(self) -> bool:
        """Whether nobody would miss the tower itself: under inference mode, and as :attr:`unwatched` says."""
        return torch.is_inference_mode_enabled() and self.unwatched

    @property
    def unwatched(self) -> bool:
        """Whether the tower is in evaluation mode and without hooks."""
        return (
            not self._tower.training
            and not next(self._tower.parameters()).is_inference()  # such tensors keep no count of their changes
            and not watched(self._tower)
        )

    def __call__(self, pixels: Tensor) -> Tensor:
        """What the twin gives for pixels [B, 3, H, W]."""
        return self.now(pixels)(pixels)

    def now(self, like: Tensor) -> Twin:
        """The twin of the weights that the tower has now; ``like`` is as for ``make``."""
        weights = tuple((id(tensor), tensor._version) for tensor in self._tower.state_dict(keep_vars=True).values())
        if self._twin is None or weights != self._weights:
            with torch.inference_mode(False), torch.no_grad():
                self._twin, self._weights = self._make(like), weights
        return self._twin


def watched(tower: nn.Module) -> bool:
    """Whether a hook would see a pass through the tower, or change it."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in tower.modules())


def half_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Inside, a float32 tower computes in ``dtype`` what torch's autocast says may be.

    What comes out of its layers may then be in ``dtype``, too. Nothing changes with a dtype that is not bfloat16 or
    float16, or on a device for which torch has no autocast; nor where gradients are recorded or under inference mode,
    for which encoders have a twin.
    """
    half = dtype in (torch.bfloat16, torch.float16) and torch.amp.is_autocast_available(device.type)
    if not half or torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        return nullcontext()
    return torch.autocast(device.type, dtype)


def tile_by_tile(body: Body, pixels: Tensor, images: int | None = None) -> Tensor:
    """``body(pixels)``, computed channels-last, ``images`` at once, by default as many as the device takes well."""
    tile = images or TILE.get(pixels.device.type, len(pixels))
    return torch.cat([body(part.contiguous(memory_format=torch.channels_last)) for part in torch.split(pixels, tile)])


def _nothing_behind(norm: nn.BatchNorm2d) -> nn.Module | None:
    return nn.Identity() if type(norm) is nn.BatchNorm2d else None


def folded(
    tower: nn.Module,
    dtype: torch.dtype,
    *,
    convolutions: Collection[type[nn.Conv2d]] = (nn.Conv2d,),
    behind: Callable[[nn.BatchNorm2d], nn.Module | None] = _nothing_behind,
) -> nn.Module:
    """A copy for inference with batch norms folded into the convolutions before them, channels-last.

    Folding is exact up to rounding (Jacob et al., CVPR 2018, eq. 14). A tower that cannot be traced, as it decides by
    the values of its input what to compute, is copied as it is.

    Args:
        tower: in evaluation mode, without hooks.
        dtype: of the copy.
        convolutions: types, subclasses not included, that compute a linear function of the weight that they hold.
        behind: what a batch norm does beside normalising, an activation for example, or ``None`` if that is not known
            and it must stay; by default only torch's own are folded, which do nothing else.
    """
    twin = copy.deepcopy(tower)
    try:
        graph = _Tracer().trace(twin)
    except Exception as error:  # a forward pass can be anything, and what cannot be traced is not folded
        LOG.debug("batch norms of %s are not folded: %s", type(tower).__name__, error)
    else:
        twin = fx.GraphModule(twin, graph)
        for before, node in _pairs(graph):
            convolution, norm = twin.get_submodule(before), twin.get_submodule(node)
            if not (_is_one_of(convolution, convolutions) and _has_statistics(norm)):
                continue
            rest = behind(norm)
            if rest is not None:
                _replace(twin, before, fuse_conv_bn_eval(convolution, norm))
                _replace(twin, node, rest)
    return twin.to(dtype).to(memory_format=torch.channels_last)


class _Tracer(fx.Tracer):
    """Looks only into modules that contain something to fold: others may be impossible to trace."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or not any(isinstance(inner, nn.BatchNorm2d) for inner in m.modules())


def _pairs(graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Names of modules of which the second alone takes what the first gives, and both are called once."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        if times[before.target] == times[node.target] == 1:
            yield str(before.target), str(node.target)


def _is_one_of(module: nn.Module, types: Collection[type[nn.Conv2d]]) -> TypeGuard[nn.Conv2d]:
    return type(module) in types


def _has_statistics(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    return isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
