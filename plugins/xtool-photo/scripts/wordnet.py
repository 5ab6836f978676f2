"""WordNet 3.0's noun files: synsets, their hypernyms, and how often a word is used in a sense.

The format is that of wndb(5WN) and senseidx(5WN).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
"""Where Debian's package ``wordnet-base`` puts the files."""


@dataclass(frozen=True)
class Synset:
    """One meaning."""

    offset: str
    """Eight digits: a noun's WordNet id is ``n`` and these."""
    domain: int
    """The lexicographer file: 5 animal, 6 artifact, 8 body, 13 food, 18 person, 20 plant, …"""
    lemmas: tuple[str, ...]
    """As written, words separated by spaces, proper names with capitals."""
    keys: tuple[str, ...]
    """The sense key of each lemma, as ``cntlist.rev`` has it."""
    hypernyms: tuple[str, ...]
    is_instance: bool
    """A single thing with a name of its own: Einstein, the Danube."""
    gloss: str


def read_nouns(folder: Path = FOLDER) -> dict[str, Synset]:
    """All noun synsets by offset."""
    found = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence, in front
            continue
        data, _, gloss = line.partition(" | ")
        synset = _synset(data.split(), gloss.strip())
        found[synset.offset] = synset
    return found


def _synset(fields: list[str], gloss: str) -> Synset:
    offset, domain, _, count = fields[:4]
    lemmas, keys = [], []
    end = 4 + 2 * int(count, 16)
    for word, lexical_id in zip(fields[4:end:2], fields[5:end:2], strict=True):
        lemmas.append(word.replace("_", " "))
        keys.append(f"{word.lower()}%1:{domain}:{int(lexical_id, 16):02d}::")
    pointers = [tuple(fields[start : start + 4]) for start in range(end + 1, end + 1 + 4 * int(fields[end]), 4)]
    hypernyms = tuple(target for symbol, target, kind, _ in pointers if symbol in ("@", "@i") and kind == "n")
    is_instance = any(symbol == "@i" for symbol, *_ in pointers)
    return Synset(offset, int(domain), tuple(lemmas), tuple(keys), hypernyms, is_instance, gloss)


def read_counts(folder: Path = FOLDER) -> dict[str, int]:
    """How often each sense key occurs in the texts that WordNet's makers tagged; absent means never."""
    counts = {}
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, _, count = line.split()
        counts[key] = int(count)
    return counts


def read_words(kinds: Iterable[str], folder: Path = FOLDER) -> set[str]:
    """Lower-case lemmas of ``noun``, ``verb``, ``adj`` or ``adv``; several words with spaces between."""
    found = set()
    for kind in kinds:
        for line in (folder / f"index.{kind}").read_text().splitlines():
            if not line.startswith("  "):
                found.add(line.split(" ", 1)[0].replace("_", " "))
    return found


def read_exceptions(folder: Path = FOLDER) -> dict[str, str]:
    """Irregular plurals to singulars: mice → mouse."""
    lines = (folder / "noun.exc").read_text().splitlines()
    return {words[0].replace("_", " "): words[1].replace("_", " ") for words in map(str.split, lines)}


def ancestors(synsets: dict[str, Synset], offset: str) -> dict[str, int]:
    """A synset and all above it, with the shortest number of steps to each."""
    steps, level, far = {}, [offset], 0
    while level:
        steps.update((one, far) for one in level if one not in steps)
        level = [up for one in level for up in synsets[one].hypernyms if up not in steps]
        far += 1
    return steps
