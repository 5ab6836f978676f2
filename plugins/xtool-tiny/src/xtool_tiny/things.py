"""The things that a scene can show: their names, synonyms and drawings (``data/things.txt``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Thing", "caption", "things"]

TEMPLATES = (
    "an image of {}.",
    "a photo of {}.",
    "a picture of {}.",
    "a drawing of {}.",
    "{}.",
    "there is {} in the image.",
)
"""Captions of training; the first, which xtool asks with by default, makes up half of them."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One class of the scenes."""

    name: str
    synonyms: tuple[str, ...]
    drawings: tuple[str, ...]
    """Names of its drawing in the emoji sets, best first."""
    plural: bool

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the main one first."""
        return (self.name, *self.synonyms)


@cache
def things() -> tuple[Thing, ...]:
    """All things, in the order of the file, which is the order of class indices."""
    lines = files("xtool_tiny").joinpath("data/things.txt").read_text(encoding="utf-8").splitlines()
    return tuple(_parse(line) for line in lines if line and not line.startswith("#"))


def caption(template: str, name: str, *, plural: bool = False) -> str:
    """Put a name with its article into a template: ``("an image of {}.", "owl")`` → ``"an image of an owl."``."""
    article = "" if plural else "an " if name[0] in "aeiou" else "a "
    return template.format(article + name)


def _parse(line: str) -> Thing:
    name, synonyms, drawings = (field.strip() for field in line.split("|"))
    return Thing(
        name=name.removesuffix("*"),
        synonyms=tuple(synonym.strip() for synonym in synonyms.split(",") if synonym.strip()),
        drawings=tuple(drawings.split()),
        plural=name.endswith("*"),
    )
