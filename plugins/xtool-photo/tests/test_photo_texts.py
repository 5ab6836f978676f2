"""What texts are taken for. Expectations are what an English speaker would say, not what the code gave."""

from __future__ import annotations

import numpy as np
import pytest

from xtool_photo.text import TextSide

COCO = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
VOC = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant
sheep sofa train tvmonitor
"""

NONSENSE = [
    "asdfgh", "qwertz uiop", "xkcd", "blorptang", "12345", "", "!!!", "🐶", "猫", "собака",
    "sadness", "justice", "the meaning of life", "a photo of sadness", "democracy", "quarterly earnings",
    "Angela Merkel", "Taylor Swift", "Emma", "lorem ipsum dolor sit amet",
]  # fmt: skip


def taken_for(texts: TextSide, text: str) -> tuple[str, ...]:
    return texts.understand(text).taken_for


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_abstractions_and_names_are_unknown(texts: TextSide, text: str) -> None:
    found = texts.understand(text)
    assert not found.known
    assert found.nearest == ()
    assert found.reason
    assert not texts.weights([text]).any()


def test_every_name_of_coco_and_voc_is_known(texts: TextSide) -> None:
    names = [name.strip() for name in COCO.replace("\n", " ").split(",")]
    assert len(names) == 80
    wanted = [f"an image of a {name}." for name in names] + VOC.split()
    assert [text for text in wanted if not texts.understand(text).known] == []


def test_every_class_is_known_by_its_name_and_nearly_always_first(texts: TextSide) -> None:
    weights = texts.weights([f"an image of a {name}." for name in texts.class_names])
    assert weights.any(axis=1).all()
    assert np.mean(weights.argmax(axis=1) == np.arange(1000)) > 0.98


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("a kangaroo", {"wallaby"}),
        ("two foxes", {"red fox", "kit fox", "Arctic fox", "grey fox"}),
        ("polar bear", {"ice bear"}),
        ("sofas", {"studio couch"}),
        ("an image of an elephant.", {"Indian elephant", "African elephant"}),
    ],
)
def test_a_thing_is_taken_for_the_classes_that_are_kinds_of_it(texts: TextSide, text: str, classes: set[str]) -> None:
    assert {name for name, _ in texts.understand(text).nearest} == classes


def test_a_dog_is_any_of_its_breeds(texts: TextSide) -> None:
    """ImageNet has 118 breeds of domestic dog."""
    weights = texts.weights(["dog"])[0]
    assert set(np.flatnonzero(weights)) == set(range(151, 269))


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("raccoon", ("raccoon",)),
        ("an image of a raccoon.", ("raccoon",)),
        ("A Photo Of The Small Dogs", ("dog",)),
        ("a bad photo of many cars", ("car",)),
        ("itap of a tench", ("tench",)),
        ("a sculpture of a lion", ("lion",)),
        ("a dog in a video game", ("dog",)),
        ("a bunch of bananas", ("banana",)),
        ("mice", ("mouse",)),
        ("red sports car", ("sports car",)),
        ("a man holding a fish", ("man",)),
        ("my cat sleeping on the sofa", ("cat",)),
        ("woman with an umbrella", ("woman",)),
        ("black and white cat", ("cat",)),
        ("a cat and a dog", ("cat", "dog")),
        ("dog, cat", ("dog", "cat")),
        ("there is a dog in the garden", ("dog",)),
        ("washing machine", ("washing machine",)),
        ("girafe", ("giraffe",)),
        ("goldenretriever", ("golden retriever",)),
        ("Golden Retriever", ("golden retriever",)),
        ("robin", ("robin",)),
    ],
)
def test_the_head_noun_is_what_is_asked_for(texts: TextSide, text: str, things: tuple[str, ...]) -> None:
    assert taken_for(texts, text) == things


@pytest.mark.parametrize("text", ["dog sadness", "a cat and a blorptang", "the sadness of a dog"])
def test_an_unknown_head_makes_the_text_unknown(texts: TextSide, text: str) -> None:
    assert not texts.understand(text).known


def test_things_joined_by_and_weigh_the_same(texts: TextSide) -> None:
    both, zebra, lion = texts.weights(["a zebra and a lion", "zebra", "lion"])
    np.testing.assert_allclose(both, (zebra + lion) / 2, atol=1e-6)


@pytest.mark.parametrize("text", ["asdfgh dog", "raccoon", "person", "robin", "a cat and a dog"])
def test_weights_of_what_is_known_sum_to_one_and_are_told_in_order(texts: TextSide, text: str) -> None:
    nearest = texts.understand(text).nearest
    assert sum(weight for _, weight in nearest) == pytest.approx(1, abs=1e-3)
    assert [weight for _, weight in nearest] == sorted((weight for _, weight in nearest), reverse=True)


def test_people_are_told_what_was_understood_and_why_not(texts: TextSide) -> None:
    assert texts.understand("kangaroo").message() == "'kangaroo' is taken for kangaroo: wallaby 100%"
    assert "113 more" in texts.understand("a dog").message()
    assert "Latin letters" in texts.understand("猫").message()
    for asked in ("Taylor Swift", "an image of a Taylor Swift.", "a photo of Taylor Swift"):
        assert "a person's name" in texts.understand(asked).message()
