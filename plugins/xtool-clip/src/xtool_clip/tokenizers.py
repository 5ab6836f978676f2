"""From a model's configuration to what cuts texts into its tokens."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from torch import Tensor

from xtool.loading import DownloadError, ModelFiles, fetch
from xtool.plugin import SetupError
from xtool_clip.encoder import Tokenizer

LOG = logging.getLogger("xtool_clip")

FILES = ("tokenizer_config.json", "tokenizer.json")
"""One of them is where a tokenizer is."""

CONTEXT_LENGTH = 77


def tokenizer_of(
    name: str, text: Mapping[str, Any], cache_dir: str | None, *, trained: bool, files: ModelFiles | None = None
) -> Tokenizer:
    """What cuts texts into the tokens of a model.

    Args:
        name: of the model.
        text: its ``text_cfg``.
        cache_dir: a Hugging Face cache; ``None`` for the user's own.
        trained: whether texts mean something to it; if not, :class:`WordTokenizer` does where its own cannot be had.
        files: where the model is, if open_clip does not list it: what lies in a folder comes before what the
            configuration names.

    Raises :class:`xtool.plugin.SetupError`, with the ways out, for a tokenizer that cannot be had.
    """
    try:
        return _own(name, text, cache_dir, files)
    except SetupError as error:
        if trained or "hf_model_name" in text:  # such a text tower cannot be built without the download, either
            raise
        LOG.warning(
            "%s\nIts weights are random and no text means anything to it, so every word becomes a token instead",
            str(error).partition("\n")[0],
        )
    return WordTokenizer(text.get("context_length", CONTEXT_LENGTH), text.get("vocab_size", 49408), text.get("eos_id"))


class WordTokenizer:
    """Each word one token, the same wherever it stands: for text towers with random weights.

    Args:
        context_length: tokens of a text, the end token included.
        vocabulary: token ids there are; the highest ends a text, as CLIP's does, unless ``end`` is another.
        end: the id of the end token.
    """

    def __init__(self, context_length: int, vocabulary: int, end: int | None = None) -> None:
        self.context_length = context_length
        self.vocabulary = vocabulary
        self.end = vocabulary - 1 if end is None else end

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token ids [T, context length], padded with 0."""
        tokens = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self._id(word) for word in re.findall(r"\w+|[^\w\s]", text.lower())]
            ids = [*ids[: self.context_length - 1], self.end]
            row[: len(ids)] = torch.tensor(ids)
        return tokens

    def _id(self, word: str) -> int:
        found = 1 + zlib.crc32(word.encode()) % (self.vocabulary - 2)  # any number but the padding's and the last
        return found if found != self.end else self.vocabulary - 1


def _own(name: str, text: Mapping[str, Any], cache_dir: str | None, files: ModelFiles | None) -> Tokenizer:
    repository = text.get("hf_tokenizer_name")
    try:
        if "hf_model_name" in text:
            fetch(text["hf_model_name"], ["config.json"], cache_dir)
        if files is not None and files.folder is not None and repository and files.get(*FILES) is not None:
            return _of_hugging_face(str(files.folder), text, cache_dir)
        if repository:
            fetch(repository, FILES, cache_dir)
        if files is None:
            return open_clip.get_tokenizer(name, cache_dir=cache_dir)  # type: ignore[no-any-return]
        if repository:
            return _of_hugging_face(repository, text, cache_dir)
        length = text.get("context_length", CONTEXT_LENGTH)
        return open_clip.SimpleTokenizer(context_length=length, **text.get("tokenizer_kwargs", {}))  # type: ignore[no-any-return]
    except DownloadError as error:
        raise SetupError(
            f"cannot get the tokenizer of {name}: {error}\n"
            "Ways out: --cache-dir DIR (or HF_HOME=DIR) with a Hugging Face cache that contains it, a model with "
            "CLIP's own tokenizer (RN50, ViT-B-16, …), or an encoder that needs no network: `xtool encoders` marks them"
        ) from error
    except Exception as error:  # the tokenizer's library is missing or too old, or its file is damaged
        hint = "; it needs transformers: pip install transformers" if isinstance(error, ImportError) else ""
        raise SetupError(f"cannot load the tokenizer of {name}: {type(error).__name__}: {error}{hint}") from error


def _of_hugging_face(source: str, text: Mapping[str, Any], cache_dir: str | None) -> Tokenizer:
    """As :func:`open_clip.get_tokenizer` makes it for a configuration that it has read itself."""
    mode = {"tokenizer_mode": text["tokenizer_mode"]} if "tokenizer_mode" in text else {}
    made: Tokenizer = HFTokenizer(
        source,
        context_length=text.get("context_length", CONTEXT_LENGTH),
        cache_dir=cache_dir,
        **mode,
        **text.get("tokenizer_kwargs", {}),
    )
    return made
