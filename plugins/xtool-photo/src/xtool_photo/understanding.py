"""What a text was taken for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Understanding"]

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Understanding:
    """What a text was taken for, or why it was taken for nothing."""

    text: str
    known: bool
    nearest: tuple[tuple[str, float], ...] = ()
    """Names of all classes that stand for the text, with weights that sum to 1, largest first; empty if unknown."""
    taken_for: tuple[str, ...] = ()
    """The words that were looked up: ``("fox",)`` for "two foxes", ``("cat", "dog")`` for "a cat and a dog"."""
    reason: str = ""
    """Why the text is unknown, for people."""

    def told(self) -> str:
        """One sentence for people."""
        if not self.known:
            return f"{self.text!r} is not known: {self.reason}"
        shown = ", ".join(f"{name} {weight:.0%}" for name, weight in self.nearest[:SHOWN])
        more = len(self.nearest) - SHOWN
        return f"{self.text!r} is taken for {' and '.join(self.taken_for)}: {shown}" + (
            f" and {more} more" if more > 0 else ""
        )
