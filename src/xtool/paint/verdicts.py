"""The verdicts on a text, in the words and colours that they have everywhere."""

from __future__ import annotations

from enum import Enum

__all__ = ["Verdict"]


class Verdict(Enum):
    """Whether a method finds a text in an image."""

    PRESENT = ("present", "#1a7f37", "green")
    ABSENT = ("absent", "#b42318", "red")
    UNSURE = ("unsure", "#9a6700", "yellow")
    CANNOT_TELL = ("cannot tell", "#5c636e", "dim")
    NOT_UNDERSTOOD = ("text not understood", "#7a3e9d", "magenta")

    def __init__(self, words: str, colour: str, terminal: str) -> None:
        self.words = words
        """What people read."""
        self.colour = colour
        """On a light background, at least 4.5:1 against white."""
        self.terminal = terminal
        """A style of Rich, which suits light and dark terminals."""

    @classmethod
    def of(cls, present: bool | None) -> Verdict:
        """What a method says: found, not found, or ``None`` where it cannot tell."""
        if present is None:
            return cls.CANNOT_TELL
        return cls.PRESENT if present else cls.ABSENT

    @property
    def faded(self) -> bool:
        """Whether heat and boxes are drawn pale, because they mark nothing that was found."""
        return self in (Verdict.ABSENT, Verdict.NOT_UNDERSTOOD)
