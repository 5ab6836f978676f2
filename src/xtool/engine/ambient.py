"""What a caller has switched on in torch must not change an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["undisturbed"]


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Inside the block torch computes in float32 and can differentiate, though nothing is recorded unless asked for.

    Under ``torch.inference_mode()`` gradient methods could not run, and under ``torch.autocast`` maps would come from
    another precision than the one that results name.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in dict.fromkeys((device.type, "cpu")):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
