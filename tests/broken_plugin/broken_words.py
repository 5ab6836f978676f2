"""Encoders that explain words and keep every promise but one, by name."""

from __future__ import annotations

import broken_encoders
import torch
from torch import nn
from torch.nn import functional as F

from xtool.plugin import SetupError, UsageError


class WordyCNN(broken_encoders.NamedCNN):
    """Its text tower is a bag of letters; a word's relevance is how far its own letters point along the direction."""

    word_methods = ("letters",)

    def __init__(self, name, seed) -> None:
        super().__init__(name, seed)
        self.calls = 0
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.letters = nn.EmbeddingBag(256, self.info.embed_dim).eval()

    def encode_text(self, texts):
        with torch.no_grad():
            return F.normalize(torch.cat([self._embedded(text) for text in texts]), dim=1)

    def word_relevance(self, text, spans, direction, method):
        self.calls += 1
        if method not in self.word_methods:
            if self.kind == "wordless-words":
                raise KeyError(method)
            if self.kind != "any-word-method":
                raise UsageError(f"{self.info.name} has no word relevance {method!r}")
        if self.kind == "chokes-on-long-texts" and len(text) > 500:
            raise IndexError("the text is longer than the context")
        with torch.inference_mode(self.kind == "not-in-inference-mode" and torch.is_inference_mode_enabled()):
            found = [self._along(text[start:end], direction.clone()) for start, end in spans]
        return self._broken(found)

    def _along(self, word, direction):
        with torch.enable_grad():
            embedded = self._embedded(word)[0] @ direction
            if self.kind == "not-in-inference-mode":
                torch.autograd.grad(embedded, self.letters.weight)
            if self.kind == "leaves-a-word-gradient":
                embedded.backward()
        return float(embedded.detach())

    def _embedded(self, text):
        return self.letters(torch.tensor([list(text.encode())]))

    def _broken(self, found):
        match self.kind:
            case "one-number-short":
                return found[: max(1, len(found) - 1)]
            case "infinite-words":
                return [float("inf") if len(found) > 100 else value for value in found]
            case "counts-its-calls":
                return [value + self.calls for value in found]
            case "shares-out":
                return [value / sum(map(abs, found)) for value in found]
            case "no-sign":
                return [abs(value) for value in found]
        return found


def load(name, options):
    if options.pretrained is not None:
        raise SetupError("there are no weights")
    if options.device != "cpu":
        raise SetupError("there is only the CPU")
    return WordyCNN(name, options.seed)
