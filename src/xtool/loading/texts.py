"""Embeddings of texts, each computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from xtool.errors import UsageError

__all__ = ["TextCache"]


class TextCache:
    """What stands behind an encoder's ``encode_text``: embeds each text once, and keeps those asked for last.

    A copy, by :mod:`copy` or :mod:`pickle`, starts empty.

    Args:
        embed_dim: D.
        device: where embeddings are.
        size: how many texts are kept. By default a thousand classes with a few prompts each: 64 MiB at 1,024
            dimensions.
    """

    def __init__(self, embed_dim: int, device: torch.device, *, size: int = 16_384) -> None:
        self._nothing = torch.empty(0, embed_dim, device=device)
        self._size = size
        self._start_empty()

    def _start_empty(self) -> None:
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self.lock = Lock()
        """Held while texts are embedded. Hold it for any other pass of the text tower that threads must not see."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_nothing": self._nothing, "_size": self._size}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start_empty()

    def encode(self, texts: Sequence[str], embed: Callable[[list[str]], Tensor]) -> Tensor:
        """The embeddings of T texts [T, D], without gradient; the caller may change them.

        Args:
            texts: in any order and number, repeats included.
            embed: N > 0 texts, all different, to their embeddings [N, D]. It is called for texts that are not kept, by
                one thread at a time, without gradient and outside inference mode: what is made there could not be part
                of a graph later, and gradient methods compare images with texts.

        Raises :class:`xtool.plugin.UsageError` for a single string, which would be read letter by letter.
        """
        if isinstance(texts, str):
            raise UsageError(f"encode_text takes a list of texts, not the single string {texts!r}")
        if not texts:
            return self._nothing.clone()
        asked = dict.fromkeys(texts)
        with self.lock, torch.inference_mode(False), torch.no_grad():
            found = {text: self._kept[text] for text in asked if text in self._kept}
            new = [text for text in asked if text not in found]
            if new:
                # A row is a view, and would keep all rows of its call in memory.
                found.update((text, row.clone()) for text, row in zip(new, embed(new), strict=True))
            self._keep(found)
            return torch.stack([found[text] for text in texts])

    def _keep(self, embeddings: Mapping[str, Tensor]) -> None:
        for text, embedding in embeddings.items():
            self._kept[text] = embedding
            self._kept.move_to_end(text)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
