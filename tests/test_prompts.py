"""Templates, synonyms and their average."""

from __future__ import annotations

import builtins

import pytest
import torch

from xtool.engine.prompts import DEFAULT_TEMPLATES, embed_labels, fill, prompts_for, resolve_templates
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
    with pytest.raises(SetupError, match="pip install open_clip_torch"):
        resolve_templates(["ensemble"])


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("raccoon", "an image of a raccoon."),
        ("a raccoon", "an image of a raccoon."),
        ("  red   car ", "an image of a red car."),
        ("owl", "an image of an owl."),
        ("an owl", "an image of an owl."),
        ("unicorn", "an image of a unicorn."),
        ("uninvited guest", "an image of an uninvited guest."),
        ("hourglass", "an image of an hourglass."),
        ("one-eyed cat", "an image of a one-eyed cat."),
        ("two foxes", "an image of two foxes."),
        ("foxes", "an image of foxes."),
        ("dogs on a beach", "an image of dogs on a beach."),
        ("dog with bones", "an image of a dog with bones."),
        ("bus", "an image of a bus."),
        ("people", "an image of people."),
        ("the dog on the left", "an image of the dog on the left."),
        ("jalapeño", "an image of a jalapeño."),
    ],
)
def test_a_bare_name_goes_into_the_template_with_the_right_article(typed: str, read: str) -> None:
    assert prompts_for(typed) == (read,)


@pytest.mark.parametrize(
    "typed",
    ["an image of a dog.", "a dog.", "Is it a dog?", "a blurry photo of a dog", "picture of a cat", "there is a dog",
     "it's a dog", "猫", "собака"],
)  # fmt: skip
def test_what_reads_like_a_sentence_or_in_other_letters_is_read_as_it_is(typed: str) -> None:
    assert prompts_for(typed) == (typed,)


def test_without_templates_every_text_is_read_as_it_is() -> None:
    assert prompts_for("owl", None) == ("owl",)
    assert prompts_for("owl", ("{label}",)) == ("owl",)


def test_a_name_goes_into_every_template_once() -> None:
    templates = ("a photo of a {label}.", "art of the {label}.", "a photo of an {label}.")
    assert prompts_for("owl", templates) == ("a photo of an owl.", "art of the owl.")
    with pytest.raises(UsageError, match=r"\{label\}"):
        prompts_for("owl", ("a photo",))
