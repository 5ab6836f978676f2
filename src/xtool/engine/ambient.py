"""What a caller has switched on in torch must not change an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["as_after_start", "undisturbed"]


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Inside the block torch computes in float32 and can differentiate, though nothing is recorded unless asked for.

    Under ``torch.inference_mode()`` gradient methods could not run, and under ``torch.autocast`` maps would come from
    another precision than the one that results name. What a caller has made the default device is not where a model
    on another one expects what it makes.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in dict.fromkeys((device.type, "cpu")):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def as_after_start() -> Iterator[None]:
    """For loading: as :func:`undisturbed`, and new tensors are float32.

    Weights that are made under ``torch.inference_mode()`` could never be differentiated through.
    """
    default = torch.get_default_dtype()
    with undisturbed(torch.device("cpu")):
        # Of the whole process, and so not touched without need, nor for as long as methods take.
        if default == torch.float32:
            yield
            return
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(default)
