"""Which calibration holds for a method with its options, and the method whose verdict it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

if TYPE_CHECKING:
    from torch import Tensor

    from xtool.contracts.config import MethodConfig
    from xtool.contracts.protocols import Calibration, Encoder, EncoderInfo, Saliency, SaliencyMethod

__all__ = ["Calibrated", "calibration_for", "evidence_of"]


def calibration_for(method: str, config: MethodConfig, encoder: EncoderInfo) -> Calibration | None:
    """The encoder's first calibration that was made for this method with the same evidence, or ``None``.

    Args:
        method: its name.
        config: its options, resolved for this encoder.
        encoder: with its calibrations.
    """
    own = config.evidence_options()
    if own is None:
        return None
    named = (calibration for calibration in encoder.calibrations if calibration.method == method)
    return next((each for each in named if evidence_of(type(config), each.options, encoder) == own), None)


def evidence_of(config: type[MethodConfig], options: Mapping[str, Any], encoder: EncoderInfo) -> dict[str, Any] | None:
    """What the evidence depends on under these options; ``None`` where the method has no such options (any more)."""
    try:
        return config.model_validate(dict(options)).resolved(encoder).evidence_options()
    except ValidationError:
        return None


class Calibrated:
    """A method whose verdict comes from a calibration: present where the evidence is above its bar.

    Where the method itself finds nothing, for example because of an empty map, no evidence makes the text present.
    """

    def __init__(self, method: SaliencyMethod, calibration: Calibration) -> None:
        self.method = method
        self._bar = calibration.bar

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        """See :meth:`xtool.plugin.SaliencyMethod.explain`."""
        found = self.method.explain(encoder, pixels, text)
        if found.scores is None:
            return found
        above = found.scores > self._bar
        return replace(found, present=above if found.present is None else above & found.present)
