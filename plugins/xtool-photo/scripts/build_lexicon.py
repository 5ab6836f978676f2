"""Make ``lexicon.npz``: English words and what they mean to a classifier of ImageNet. Deterministic; no picture needed.

    apt-get install wordnet-base
    uv run --with names==0.3.0 python plugins/xtool-photo/scripts/build_lexicon.py

The words are WordNet 3.0's nouns and the lines of ``curated.txt`` beside this file; the classes are timm's.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from curated import Lines, read_curated, resolve
from meanings import ANIMAL, FOOD, PERSON, TOPS, Tree, Weights
from peoples_names import read_given_names, read_surnames
from senses import Sense, senses_by_word, word_meaning
from timm.data import ImageNetInfo
from wordnet import FOLDER, read_counts, read_exceptions, read_nouns, read_words

from xtool_photo.grammar import CUTS, JOINS, PICTURES, SILENT
from xtool_photo.words import plain

OUT = Path(__file__).parents[1] / "src" / "xtool_photo" / "data" / "lexicon.npz"
PLANT = 20
A_NAME = 0.02
"""Percent of women or men: a word that so many are called by is a name, unless it is an animal, a food or a plant."""

SHORTEST = 3
"""Letters; shorter nouns are abbreviations of offices, and chance."""


@dataclass
class WordNet:
    """What is read once."""

    tree: Tree
    words: dict[str, list[Sense]]
    curated: Lines
    first_names: tuple[str, ...]


def open_wordnet(folder: Path, curated: Lines) -> WordNet:
    synsets = read_nouns(folder)
    info = ImageNetInfo()
    offsets = [info.index_to_label_name(row).removeprefix("n") for row in range(1000)]
    first_names = tuple(info.index_to_description(row).split(",")[0].strip() for row in range(1000))
    overrides = {
        word.removeprefix("@"): resolve(parts, first_names, lambda _: None)
        for words, parts in curated
        for word in words
        if word.startswith("@")
    }
    return WordNet(
        Tree(synsets, offsets, overrides), senses_by_word(synsets, read_counts(folder)), curated, first_names
    )


def meanings_of_words(wordnet: WordNet, names: dict[str, float]) -> dict[str, Weights]:
    """Every word, in the lexicon's form, with its weights; lines of ``curated.txt`` win over WordNet."""
    found: dict[str, Weights] = {}
    classes = {name.lower() for name in wordnet.first_names}
    for word, senses in wordnet.words.items():
        is_class = word in classes
        weights = word_meaning(senses, wordnet.tree, is_class)
        form = plain(word)
        if weights and (is_class or (len(form) >= SHORTEST and not _is_name(form, senses, wordnet.tree, names))):
            found.setdefault(form, weights)
    for words, parts in wordnet.curated:
        weights = resolve(parts, wordnet.first_names, found.get) if parts and not words[0].startswith("@") else None
        for form in (plain(word) for word in words if not word.startswith("@")):
            found.pop(form, None)
            if weights:
                found[form] = weights
    return {word: weights for word, weights in found.items() if word not in SILENT | CUTS | JOINS | PICTURES}


def _is_name(word: str, senses: list[Sense], tree: Tree, names: dict[str, float]) -> bool:
    """``john`` is a toilet, and nobody means it; ``robin`` and ``rose`` stay what they are."""
    if names.get(word, 0.0) < A_NAME:
        return False
    domains = {tree.synsets[sense.offset].domain for sense in senses if tree.meaning(sense.offset)}
    return not domains & {TOPS, ANIMAL, FOOD, PLANT}


def common_words(found: dict[str, Weights], wordnet: WordNet) -> set[str]:
    """Words that people misspell: those of ``curated.txt``, and things that have classes or are often spoken of."""
    common = {plain(word) for words, _ in wordnet.curated for word in words}
    for word, senses in wordnet.words.items():
        things = [sense for sense in senses if wordnet.tree.synsets[sense.offset].domain != PERSON]
        meanings = ((sense, wordnet.tree.meaning(sense.offset)) for sense in things)
        if any(meaning and (meaning.steps == 0 or sense.uses > 1) for sense, meaning in meanings):
            common.add(plain(word))
    return {word for word in common if word in found and " " not in word}


def pack(words: Iterable[str]) -> np.ndarray:
    return np.frombuffer("\n".join(words).encode(), np.uint8)


def arrays(found: dict[str, Weights], wordnet: WordNet, folder: Path, names: dict[str, float]) -> dict[str, np.ndarray]:
    """What :class:`xtool_photo.lexicon.Lexicon` reads. Words of one meaning share its row."""
    words = sorted(found)
    kinds = {tuple(sorted(found[word].items())): 0 for word in words}
    kinds = {kind: number for number, kind in enumerate(kinds)}
    common = common_words(found, wordnet)
    qualities = {plain(word) for word in read_words(("adj", "adv", "verb"), folder) if " " not in word}
    nouns = {plain(word) for word in read_words(("noun",), folder)}
    plurals = {many: one for many, one in read_exceptions(folder).items() if one in found and many not in found}
    return {
        "words": pack(words),
        "meaning": np.array([kinds[tuple(sorted(found[word].items()))] for word in words], np.uint16),
        "common": np.array([word in common for word in words]),
        "starts": np.cumsum([0, *(len(kind) for kind in kinds)]).astype(np.uint32),
        "rows": np.array([row for kind in kinds for row, _ in kind], np.uint16),
        "weights": np.array([weight for kind in kinds for _, weight in kind], np.float16),
        "no_things": pack(sorted(word for word in nouns - qualities - found.keys() if " " not in word)),
        "qualities": pack(sorted(qualities - found.keys())),
        "given_names": pack(sorted(names)),
        "surnames": pack(sorted(read_surnames())),
        "plurals": pack(plurals),
        "their_singulars": pack(plurals.values()),
        "class_names": pack(wordnet.first_names),
        "longest": np.array(max(word.count(" ") + 1 for word in words)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, default=FOLDER, help="folder with data.noun and the other files")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    wordnet = open_wordnet(options.wordnet, read_curated())
    names = read_given_names()
    found = meanings_of_words(wordnet, names)
    made = arrays(found, wordnet, options.wordnet, names)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **made)  # type: ignore[arg-type]
    sizes = Counter(min(len(weights), 10) for weights in found.values())
    told = ", ".join(f"{'10 or more' if size == 10 else size}: {number}" for size, number in sorted(sizes.items()))
    print(f"{len(found)} words with {len(made['starts']) - 1} meanings; classes of a word: {told}")
    print(
        f"{len(names)} given names, {len(made['no_things'])} bytes of other nouns, "
        f"{int(made['common'].sum())} common words"
    )
    print(f"{options.out.name}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
