"""Forward hooks that are gone when their ``with`` block ends, however it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def hooked(module: nn.Module, see: Callable[[Any], Any]) -> Iterator[None]:
    """Inside the block, ``see(output)`` is called on each output of ``module``; what it returns, if not ``None``,
    takes the output's place."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: see(output))
    try:
        yield
    finally:
        handle.remove()
