"""Checks of what a method returns."""

from __future__ import annotations

import torch

from xtool.contracts.protocols import Saliency
from xtool.engine.encoders import counted
from xtool.engine.work import Kept, account
from xtool.errors import UsageError
from xtool.testing.checks.method_options import option_sets
from xtool.testing.checks.method_subject import MethodSubject, random_state, sound, steady, usual, wrong_shape
from xtool.testing.compare_maps import TOLERANCE, differ, same
from xtool.testing.setups import scene, texts
from xtool.testing.verdict import require

TEXT_TOLERANCE = 1e-5
"""Of the largest value. Beside other texts the same passes are made, so no more than the last digits may differ."""


def shape_and_dtype(subject: MethodSubject) -> None:
    """explain returns maps [B, T, h, w] float32 and present [B, T] bool or None, detached, on the encoder's device."""
    encoder, pixels, text = usual(subject)
    problem = wrong_shape(subject.explain(encoder, pixels, text), encoder, pixels, text)
    require(not problem, problem)


def finite(subject: MethodSubject) -> None:
    """Maps and scores are finite, also on an image of one colour and for a text that is nowhere in it."""
    encoder, pixels, text = usual(subject)
    for images in (pixels, scene(encoder, {}), torch.zeros_like(pixels[:1])):
        saliency = subject.explain(encoder, images, text)
        require(bool(saliency.maps.isfinite().all()), "maps contain NaN or infinite values")
        if saliency.scores is not None:
            require(bool(saliency.scores.isfinite().all()), "scores contain NaN or infinite values")


def batch_equals_singles(subject: MethodSubject) -> None:
    """An image gets the same map and verdict alone and in a batch."""
    encoder, pixels, text = usual(subject)
    together = steady(subject, encoder, pixels, text)
    for index in range(len(pixels)):
        alone = sound(subject, encoder, pixels[index : index + 1], text)
        require(same(alone.maps[0], together.maps[index]), f"image {index} has different maps alone and in a batch")
        require(_same_verdict(alone, together, images=index), f"image {index}: present or scores change with the batch")


def own_texts_equal_singles(subject: MethodSubject) -> None:
    """Each image of a batch, asked about texts of its own, gets the map and verdict it gets alone, for any options."""
    encoder, pixels, text = usual(subject)
    steady(subject, encoder, pixels, text)
    own = texts(encoder, ("red", "zebra", "blue", "green", "red", "giraffe")).reshape(len(pixels), 3, -1)
    for options in option_sets(subject.request):
        given = f" with {options}" if options else ""
        try:
            together = sound(subject, encoder, pixels, own, **options)
        except UsageError:
            continue  # an option that does not go with this encoder
        largest = float(together.maps.abs().max())
        for index in range(len(pixels)):
            alone = sound(subject, encoder, pixels[index : index + 1], own[index], **options)
            moved = not same(alone.maps[0], together.maps[index], scale=largest)
            require(not moved, f"image {index} has different maps alone and in a batch with texts of its own{given}")
            kept = _same_verdict(alone, together, images=index)
            require(kept, f"image {index}: present or scores change in a batch with texts of its own{given}")


def texts_equal_singles(subject: MethodSubject) -> None:
    """A text gets the same map and verdict alone and beside others, whatever the options, also after another text."""
    encoder, pixels, _ = usual(subject)
    text = texts(encoder, ("red", "green", "zebra", "blue", "giraffe"))
    steady(subject, encoder, pixels, text)
    for options in option_sets(subject.request):
        given = f" with {options}" if options else ""
        try:
            together = sound(subject, encoder, pixels, text, **options)
        except UsageError:
            continue  # an option that does not go with this encoder
        # On the scale of the whole answer: the map of a text that is nowhere can be nothing but rounding.
        largest = float(together.maps.abs().max())
        with account(Kept()):  # as the core runs it: work may be shared between calls on the very same pixels
            for index in range(len(text)):
                alone = sound(subject, encoder, pixels, text[index : index + 1], **options)
                moved = not same(alone.maps[:, 0], together.maps[:, index], TEXT_TOLERANCE, scale=largest)
                require(not moved, f"text {index} has different maps alone and together with others{given}")
                kept = _same_verdict(alone, together, texts=index)
                require(kept, f"text {index}: present or scores change together with others{given}")


def deterministic(subject: MethodSubject) -> None:
    """The same call gives the same map whatever the global random state is; noise comes from a seed in the config."""
    encoder, pixels, text = usual(subject)
    with random_state(1):
        first = sound(subject, encoder, pixels, text)
    with random_state(2):
        second = sound(subject, encoder, pixels, text)
    require(
        same(first.maps, second.maps),
        "two calls differ; draw from a torch.Generator seeded by an option, not from the global random numbers",
    )


def works_in_inference_mode(subject: MethodSubject) -> None:
    """A method that does not require gradients gives the same map under torch.inference_mode()."""
    encoder, pixels, text = usual(subject)
    expected = steady(subject, encoder, pixels, text)
    with torch.inference_mode():
        found = subject.build(encoder).explain(counted(encoder), pixels.clone(), text.clone())
    require(same(found.maps, expected.maps), "the map is different under inference mode")


def texts_change_the_map(subject: MethodSubject) -> None:
    """Two texts for two things in one image get different maps."""
    encoder, pixels, _ = usual(subject)
    found = sound(subject, encoder, pixels, texts(encoder, ("red", "green"))).maps
    require(
        all(differ(maps[0], maps[1]) for maps in found),
        "red and green get the same map of an image that contains both: the map does not depend on the text",
    )


def weights_change_the_map(subject: MethodSubject) -> None:
    """Random weights change the map: what does not depend on the model explains nothing (Adebayo et al. 2018)."""
    encoder, pixels, text = usual(subject)
    planted = sound(subject, encoder, pixels, text[:2]).maps
    for seed in (1, 2, 3):
        randomised = sound(subject, subject.setup.encoder(seed), pixels, text[:2]).maps
        if any(differ(*pair) for pair in zip(planted.flatten(0, 1), randomised.flatten(0, 1), strict=True)):
            return
    require(False, "the maps of an encoder with random weights are those of the planted one")


DEAD_MAP_CHECKS = (finite, batch_equals_singles, own_texts_equal_singles, texts_equal_singles)
"""What is checked on feature maps of which some are dead, too."""

OUTPUT_CHECKS = (
    shape_and_dtype,
    finite,
    batch_equals_singles,
    own_texts_equal_singles,
    texts_equal_singles,
    deterministic,
    works_in_inference_mode,
    texts_change_the_map,
    weights_change_the_map,
)


def _same_verdict(alone: Saliency, together: Saliency, images: int | None = None, texts: int | None = None) -> bool:
    """Whether ``present`` and ``scores`` of one image or one text are those it has among others."""
    rows = slice(None) if images is None else slice(images, images + 1)
    columns = slice(None) if texts is None else slice(texts, texts + 1)
    if alone.scores is not None and together.scores is not None:
        # A score that lies on the very threshold may fall to either side in the last bit; the score itself decides.
        room = TOLERANCE * float(together.scores.abs().max())
        return float((alone.scores - together.scores[rows, columns]).abs().max()) <= room
    if alone.present is None or together.present is None:
        return alone.present is together.present
    return torch.equal(alone.present, together.present[rows, columns])
