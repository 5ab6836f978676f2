"""A short BPE merges file: open_clip's own merges, as far as the captions of the scenes need them.

Free text still tokenises (any byte is a token), into more pieces than with the full file; captions tokenise as ever.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from open_clip.tokenizer import SimpleTokenizer

from xtool_tiny.things import TEMPLATES, caption, things

__all__ = ["captions", "write_merges"]


def captions() -> list[str]:
    """Every caption that training can use, with synonyms."""
    return [
        caption(template, name, plural=thing.plural)
        for template in TEMPLATES
        for thing in things()
        for name in thing.names
    ]


def write_merges(path: Path, texts: Iterable[str]) -> int:
    """Write the merges that ``texts`` need, in their old order, and return how many there are."""
    full = SimpleTokenizer()
    made_of = {first + second: (first, second) for first, second in full.bpe_ranks}
    needed: set[tuple[str, str]] = set()
    pending = [full.decoder[token] for text in texts for token in full.encode(text)]
    while pending:
        if (merge := made_of.get(pending.pop())) is not None:
            needed.add(merge)
            pending.extend(merge)
    lines = ["#version: 0.2", *(" ".join(merge) for merge in full.bpe_ranks if merge in needed)]
    # No time stamp and no last newline: the same bytes each time, and no empty merge.
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return len(needed)
