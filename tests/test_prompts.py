"""Templates, synonyms and their average."""

from __future__ import annotations

import builtins

import pytest
import torch

from xtool.engine.prompts import DEFAULT_TEMPLATES, embed_labels, fill, resolve_templates
from xtool.errors import SetupError, UsageError


class CountingEncoder:
    """Each text is a fixed random unit vector."""

    def __init__(self):
        self.asked = []

    def encode_text(self, texts):
        self.asked.extend(texts)
        rows = [torch.randn(8, generator=torch.Generator().manual_seed(hash(text) % 2**31)) for text in texts]
        return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def test_the_default_is_the_article_s():
    assert fill(DEFAULT_TEMPLATES, ["dog"]) == ["an image of a dog."]
    assert resolve_templates([]) == DEFAULT_TEMPLATES


def test_every_name_goes_into_every_template_once():
    assert fill(["a {label}", "{label}"], ["dog", "cat", "dog"]) == ["a dog", "dog", "a cat", "cat"]


def test_braces_in_names_are_harmless():
    assert fill(["a {label}"], ["{0}"]) == ["a {0}"]


def test_a_template_must_say_where_the_label_goes():
    with pytest.raises(UsageError, match=r"write \{label\}"):
        resolve_templates(["a photo"])


def test_a_label_is_the_unit_mean_of_its_prompts():
    encoder = CountingEncoder()
    vectors = embed_labels(encoder, [("dog", "hound"), ("cat",)], ["a {label}", "the {label}"])
    mean = CountingEncoder().encode_text(["a dog", "the dog", "a hound", "the hound"]).mean(dim=0)
    torch.testing.assert_close(vectors[0], mean / mean.norm())
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))


def test_a_shared_name_is_encoded_once():
    encoder = CountingEncoder()
    # ImageNet has two classes named "crane" and two named "maillot".
    embed_labels(encoder, [("crane",), ("crane", "bird")], DEFAULT_TEMPLATES)
    assert sorted(encoder.asked) == ["an image of a bird.", "an image of a crane."]


def test_many_labels_are_encoded_in_batches_and_in_order():
    encoder = CountingEncoder()
    labels = [(f"thing {i}",) for i in range(600)]
    vectors = embed_labels(encoder, labels, ["{label}"])
    torch.testing.assert_close(vectors, CountingEncoder().encode_text([f"thing {i}" for i in range(600)]))


@pytest.mark.parametrize("labels", [[], [()]])
def test_a_label_needs_a_name(labels):
    with pytest.raises(UsageError):
        embed_labels(CountingEncoder(), labels, DEFAULT_TEMPLATES)


def test_the_ensemble_has_eighty_templates():
    pytest.importorskip("open_clip")
    templates = resolve_templates(["ensemble"])
    assert len(templates) == 80
    assert "a photo of a {label}." in templates


def test_the_ensemble_without_open_clip_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "open_clip":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SetupError, match="pip install xtool-clip"):
        resolve_templates(["ensemble"])
