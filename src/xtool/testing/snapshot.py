"""What must be the same before and after a plugin has worked with an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


class Snapshot:
    """Hooks, flags, gradients and values of a module, and torch's own switches, at one moment."""

    def __init__(self, module: nn.Module) -> None:
        self._hooks = {
            name: sum(len(getattr(part, kind, ())) for kind in HOOKS) for name, part in module.named_modules()
        }
        self._forwards = {name: part.__dict__.get("forward") for name, part in module.named_modules()}
        self._training = {name: part.training for name, part in module.named_modules()}
        self._flags = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
        self._gradients = {name: _copied(parameter.grad) for name, parameter in module.named_parameters()}
        self._values = {name: _copied(value) for name, value in module.state_dict().items()}
        self._switches = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype())

    def differences(self, later: Snapshot) -> list[str]:
        """What has changed since, in words."""
        changed = {
            "hooks": self._hooks != later._hooks,
            "replaced forward methods": self._forwards != later._forwards,
            "train/eval flags": self._training != later._training,
            "requires_grad flags": self._flags != later._flags,
            "gradients of parameters": not _same(self._gradients, later._gradients),
            "the state dict": not _same(self._values, later._values),
            "torch's grad mode or default dtype": self._switches != later._switches,
        }
        return [what for what, differs in changed.items() if differs]


class PlantedError(Exception):
    """Raised in the middle of an encoder, to see what a plugin leaves behind."""


@contextmanager
def fault_at(module: nn.Module, call: int) -> Iterator[list[int]]:
    """Raise :class:`PlantedError` when the parts of ``module`` have been run ``call`` times; 0 only counts.

    Yields a list that holds the count.
    """
    count = [0]

    def see(*_: Any) -> None:
        count[0] += 1
        if count[0] == call:
            raise PlantedError

    handles = [part.register_forward_hook(see) for part in module.modules()]
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


def _copied(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach().clone()


def _same(before: dict[str, Tensor | None], after: dict[str, Tensor | None]) -> bool:
    return before.keys() == after.keys() and all(_equal(value, after[name]) for name, value in before.items())


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and torch.equal(one, other)
