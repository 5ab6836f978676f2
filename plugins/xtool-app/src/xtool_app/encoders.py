"""The models on offer: what each knows, how large it is, and whether it is on this computer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtool.plugin import EncoderSpec, SetupError, registry, resolve
from xtool_app import settings
from xtool_app.pictures import PICTOGRAMS

__all__ = ["EncoderChoice", "offered_encoders", "warning_about"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChoice:
    """A model that the page can load: one with weights of its own."""

    name: str
    family: str
    knows: str
    parameters: int | None
    here: bool | None
    """Whether its weights are on this computer; ``None`` where that cannot be told."""

    @property
    def label(self) -> str:
        """One line for the list of models."""
        family = f"{self.family} " if self.family and not self.name.startswith(self.family) else ""
        told = [self.knows]
        if self.parameters is not None:
            told.append(f"{self.parameters / 1e6:.{0 if self.parameters >= 1e7 else 1}f} M")
        if self.here is not None:
            told.append("here" if self.here else "download")
        return f"{family}{self.name}: " + ", ".join(part for part in told if part)


def offered_encoders(shows: str) -> Sequence[EncoderChoice]:
    """Models with weights of their own: first the one to start with, then by family, those on this computer first.

    Args:
        shows: what the picture shows; the suggested model that knows it comes first, unless the command line named one.
    """
    catalogue = registry().encoders
    start = settings.first_encoder(shows)
    found = [
        _choice(catalogue.name_of(item), item.spec)
        for item in catalogue
        if item.spec.default_pretrained is not None and not item.spec.is_prefix
    ]
    if start not in [choice.name for choice in found]:
        found.append(_choice(start, catalogue.find(start).spec))
    suggested = [item.spec.name for item in catalogue.suggested()]

    def rank(choice: EncoderChoice) -> tuple[bool, bool, bool, str, str]:
        known = choice.name not in suggested
        return choice.name != start, known, not choice.here, choice.family.lower(), choice.name.lower()

    return sorted(found, key=rank)


def warning_about(encoder: EncoderChoice, shows: str) -> str:
    """Why the answer will be worthless, and what to do; empty if nothing speaks against the model."""
    if encoder.knows != PICTOGRAMS or shows == PICTOGRAMS:
        return ""
    return (
        f"{encoder.name} knows only pictograms. On a photograph it guesses: neither its maps nor its verdicts mean "
        "anything. Choose a model for photographs."
    )


def _choice(name: str, spec: EncoderSpec) -> EncoderChoice:
    return EncoderChoice(
        name=name, family=spec.family, knows=spec.knows, parameters=spec.parameters, here=_here(name, spec)
    )


def _here(name: str, spec: EncoderSpec) -> bool | None:
    if not spec.on_disk:
        return None
    try:
        return bool(resolve(spec.on_disk)(name))
    except SetupError:  # a listing does not fail for one model; loading it says what is wrong
        return None
