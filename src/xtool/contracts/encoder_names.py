"""Looking up encoders by the names that people type."""

from __future__ import annotations

from dataclasses import replace

from xtool.contracts.catalogue import Catalogue, Provided
from xtool.contracts.specs import EncoderSpec


class EncoderCatalogue(Catalogue[EncoderSpec]):
    """Encoders: listed ones in any spelling, and whatever begins with a prefix that a plugin claims."""

    def find(self, name: str) -> Provided[EncoderSpec]:
        """Look up a listed name, ``prefix:anything``, or either behind ``owner:``; ``ViT-B/32`` is ``ViT-B-32``.

        Raises as :meth:`Catalogue.find` does.
        """
        return super().find(name if self._named(name) else self._respelt(name))

    def _ways_out(self) -> str:
        prefixed = "".join(f"{item.spec.name}…, " for item in self if item.spec.is_prefix)
        places = f"{prefixed}a folder or ORG/NAME on the hub; " if prefixed else ""
        return f"\nWays out: {places}for weights of your own, the name of their architecture with --pretrained PATH"

    def _named(self, name: str) -> list[Provided[EncoderSpec]]:
        return super()._named(name) or self._prefixed(name)

    def _prefixed(self, name: str) -> list[Provided[EncoderSpec]]:
        found = []
        for item in self:
            # A plugin may be called as its prefix is, so the name comes first as it stands.
            whole = name if name.startswith(item.spec.name) else name.removeprefix(f"{item.owner}:")
            if item.spec.is_prefix and whole.startswith(item.spec.name):
                found.append(Provided(item.owner, replace(item.spec, name=whole)))
        return found

    def _respelt(self, name: str) -> str:
        """The one listed name that differs in case and punctuation alone; a path is never one."""
        alike = [listed for listed in self._by_name if _letters(listed) == _letters(name)]
        return alike[0] if len(alike) == 1 and not name.startswith((".", "/", "~")) else name


def _letters(name: str) -> str:
    """``ViT-L/14@336px`` and ``vit_l_14_336`` are the same to whoever types them."""
    return "".join(character for character in name.lower() if character.isalnum()).removesuffix("px")
