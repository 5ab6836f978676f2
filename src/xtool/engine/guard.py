"""Between xtool and what strangers wrote: answers that are what was promised, or errors that name the culprit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xtool.contracts.protocols import FeatureMaps, Saliency
from xtool.engine.work import charged_once, shared
from xtool.errors import PluginError, blamed

if TYPE_CHECKING:
    from xtool.contracts.protocols import Encoder, SaliencyMethod

__all__ = ["Guarded", "all_finite", "checked_embeddings", "checked_features"]


class Guarded:
    """A method that answers what it promised, or raises :class:`PluginError` with its name.

    It takes texts [B, T, D] of each image's own, whether the method does or not.
    """

    def __init__(self, method: SaliencyMethod, name: str, *, own_texts: bool = False) -> None:
        """``name`` is what errors call it; ``own_texts`` as in the method's spec."""
        self.method = method
        self._name = name
        self._own_texts = own_texts

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`. All tensors are on the pixels' device, maps float32."""
        with charged_once():
            if text.ndim == 2 or self._own_texts:
                return self._explain(encoder, pixels, text)
            found = [self._explain(encoder, image, own) for image, own in zip(_singly(pixels), text, strict=True)]
        with blamed(self._name):
            return _stacked(found)

    def _explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        with blamed(self._name):
            return self._checked(self.method.explain(encoder, pixels, text), pixels, text.shape[-2])

    def _checked(self, found: object, pixels: Tensor, texts: int) -> Saliency:
        if not isinstance(found, Saliency):
            raise PluginError(f"{self._name} answered with {_kind(found)}, not with a Saliency")
        wanted = (len(pixels), texts)
        maps = self._tensor("maps", found.maps)
        if maps.shape[:2] != wanted or maps.ndim != 4 or not maps.numel():
            raise PluginError(
                f"{self._name} answered with maps {list(maps.shape)}; "
                f"for {len(pixels)} image(s) and {texts} text(s) they must be [{len(pixels)}, {texts}, h, w]"
            )
        present = None if found.present is None else self._tensor("present", found.present)
        if present is not None and (present.shape != wanted or present.dtype != torch.bool):
            raise PluginError(
                f"{self._name} answered with present {list(present.shape)} of {present.dtype}; it must be "
                f"{list(wanted)} of torch.bool, or None"
            )
        scores = None if found.scores is None else self._tensor("scores", found.scores)
        if scores is not None and scores.shape != wanted:
            raise PluginError(f"{self._name} answered with scores {list(scores.shape)}; they must be {list(wanted)}")
        return Saliency(
            self._finite("a map", maps, pixels.device),
            None if present is None else present.to(pixels.device),
            None if scores is None else self._finite("a score", scores, pixels.device),
        )

    def _tensor(self, what: str, found: object) -> Tensor:
        if not isinstance(found, Tensor):
            raise PluginError(f"{self._name} answered with {what} as {_kind(found)}, not as a tensor")
        return found.detach()

    def _finite(self, what: str, values: Tensor, device: torch.device) -> Tensor:
        if values.is_complex():
            raise PluginError(f"{self._name} answered with {what} of {values.dtype}; it must be torch.float32")
        plain = values.to(device, torch.float32)
        if not all_finite(plain):
            raise PluginError(f"{self._name} answered with {what} that is not finite: it holds NaN or infinity")
        return plain


def _singly(pixels: Tensor) -> list[Tensor]:
    """B times [1, 3, H, W]: the very same tensors for every method, so that they share their work on each image."""
    return shared(("singly",), (pixels,), lambda: list(torch.split(pixels, 1)))


def _stacked(found: list[Saliency]) -> Saliency:
    present = [each.present for each in found if each.present is not None]
    scores = [each.scores for each in found if each.scores is not None]
    return Saliency(
        torch.cat([each.maps for each in found]),
        torch.cat(present) if len(present) == len(found) else None,
        torch.cat(scores) if len(scores) == len(found) else None,
    )


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    # One that is makes the sum so, and the sum takes a fortieth of the time. It may also just be too large.
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def checked_embeddings(found: object, culprit: str, what: str, count: int, width: int) -> Tensor:
    """Embeddings [count, …, width] that an encoder gave. Raises :class:`PluginError` for others, or NaN in them."""
    if not isinstance(found, Tensor):
        raise PluginError(f"{culprit} answered with {_kind(found)} for {what}, not with a tensor")
    if found.ndim < 2 or len(found) != count or found.shape[-1] != width:
        raise PluginError(f"{culprit} gave {what} of shape {list(found.shape)}; it must be [{count}, …, {width}]")
    if not all_finite(found):
        raise PluginError(f"{culprit} gave {what} that is not finite: it holds NaN or infinity; are its weights sound?")
    return found


def checked_features(found: object, culprit: str, count: int) -> FeatureMaps:
    """Feature maps of ``count`` images that an extractor read. Raises as :func:`checked_embeddings`."""
    if not isinstance(found, FeatureMaps) or not isinstance(found.maps, Tensor):
        raise PluginError(f"{culprit} answered with {_kind(found)}, not with FeatureMaps")
    if found.maps.ndim != 4 or len(found.maps) != count or not found.maps.numel():
        raise PluginError(f"{culprit} read maps {list(found.maps.shape)}; they must be [{count}, C, h, w]")
    if not all_finite(found.maps):
        raise PluginError(f"{culprit} read maps that are not finite: they hold NaN or infinity; try --dtype float32")
    return found


def _kind(found: object) -> str:
    return "None" if found is None else f"a {type(found).__name__}"
