"""Images explained together: the answers that each gets alone, what one bad image costs, and where slices begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xtool.contracts.protocols import Encoder, Saliency, Sample
from xtool.engine.encoders import counted, exclusive
from xtool.engine.features import SharedExtractor
from xtool.engine.guard import Guarded
from xtool.engine.layers import LayerFeatures
from xtool.engine.work import account
from xtool.errors import DataError
from xtool.evaluator.evaluate import evaluate
from xtool.evaluator.evaluation import Evaluation
from xtool.evaluator.slices import Slice, sliced
from xtool.image.pixels import fit_image, to_pixels
from xtool.metrics.protocols import ANYBOX
from xtool.metrics.registry import chosen_metrics
from xtool.store.records import Failure, Record
from xtool.testing.planted import COLOURS, PlantedCNN, planted_image

NAMES = tuple(COLOURS)
COST = {"seconds", "forwards", "seconds_here", "encoder_seconds_here"}


@dataclass
class Patches:
    """Sample i shows colour i mod 3; every second one also names an absent text, every third a distractor."""

    broken: tuple[int, ...] = ()
    name = "patches"
    classes: Sequence[tuple[str, ...]] = tuple((name,) for name in NAMES)

    def __len__(self) -> int:
        return 11

    def fingerprint(self) -> str:
        return self.name

    def __getitem__(self, index: int) -> Sample:
        here, there, nowhere = (NAMES[(index + shift) % 3] for shift in range(3))
        x = 8 * (index % 3)
        boxes = {here: (x, 8, x + 16, 32), there: (40, 40, 56, 56)}

        def open_() -> Any:
            if index in self.broken:
                raise DataError(f"patch{index}", "truncated")
            return planted_image(boxes)

        return Sample(
            id=f"patch{index}",
            open=open_,
            label=here,
            synonyms=(here,),
            boxes=np.array([boxes[here]], dtype=np.float64),
            class_index=NAMES.index(here),
            absent=nowhere if index % 2 else None,
            distractor=there if index % 3 else None,
        )


@dataclass
class ColourCAM:
    """The planted detectors of colours, weighted by the text: with texts [B, T, D] if it ``batches``, and else not."""

    batches: bool
    fails: Callable[[Tensor], BaseException | None] = lambda pixels: None
    images: list[int] = field(default_factory=list)
    """In each call."""
    extractor = SharedExtractor(LayerFeatures(), ("layer", "auto"))

    def explain(self, encoder: Encoder, pixels: Tensor, text: Tensor) -> Saliency:
        assert self.batches or text.ndim == 2
        self.images.append(len(pixels))
        error = self.fails(pixels)
        if error is not None:
            raise error
        maps = self.extractor.extract(encoder, pixels).maps
        heat = (text @ encoder.visual.proj.weight @ maps.flatten(2)).relu()
        heat = heat.reshape(*heat.shape[:2], *maps.shape[2:])
        return Saliency(heat, present=heat.amax(dim=(2, 3)) > 0.5, scores=heat.amax(dim=(2, 3)))


def evaluation(*methods: ColourCAM, broken: tuple[int, ...] = ()) -> Evaluation:
    return Evaluation(
        dataset=Patches(broken),
        encoder=counted(PlantedCNN()),
        methods={
            f"method{i}": Guarded(method, f"method{i}", own_texts=method.batches) for i, method in enumerate(methods)
        },
        protocol=ANYBOX,
        templates=("{label}",),
        metrics=chosen_metrics(()),
    )


def run(of: Evaluation, size: int, done: Callable[[int, str], bool] = lambda index, label: False) -> list[Any]:
    def missing(index: int) -> list[str]:
        return [label for label in of.methods if not done(index, label)]

    return list(evaluate(of, sliced(range(len(of.dataset)), size, missing)))


def told(record: Record) -> dict[str, Any]:
    """All of a record but what it cost."""
    return record.model_dump(exclude=COST)


def same(ones: Sequence[Record], others: Sequence[Record]) -> None:
    assert [(one.index, one.method) for one in ones] == [(other.index, other.method) for other in others]
    for one, other in zip(ones, others, strict=True):
        left, right = told(one), told(other)
        np.testing.assert_allclose(one.map.unpack(), other.map.unpack(), rtol=1e-5, atol=1e-6)
        for name in ("map", "score", "values", "ious"):
            left.pop(name), right.pop(name)
        assert left == right
        assert one.score == pytest.approx(other.score, rel=1e-5)
        assert one.ious == pytest.approx(other.ious, abs=1e-6)
        assert one.values.keys() == other.values.keys()


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize("size", [4, 16])
def test_images_together_get_the_records_that_they_get_alone(size: int, batches: bool) -> None:
    together, alone = ColourCAM(batches), ColourCAM(batches)
    same(run(evaluation(together), size), run(evaluation(alone), 1))
    assert max(together.images) == (min(size, 11) if batches else 1)


def test_costs_are_shared_out_evenly_and_add_up() -> None:
    records = run(evaluation(ColourCAM(True), ColourCAM(True)), 4)
    assert all(record.forwards == 1 for record in records), "also of the method that found the pass done"
    of_slice = [record for record in records if record.method == "method0" and record.index < 4]
    assert len({record.seconds for record in of_slice}) == 1


def test_an_image_that_cannot_be_decoded_takes_none_with_it() -> None:
    found = run(evaluation(ColourCAM(True), broken=(1, 6)), 4)
    failures = [one for one in found if isinstance(one, Failure)]
    assert [(one.index, one.error) for one in failures] == [(1, "truncated"), (6, "truncated")]
    alone = run(evaluation(ColourCAM(True)), 1)
    same([one for one in found if isinstance(one, Record)], [one for one in alone if one.index not in (1, 6)])


def test_a_method_that_fails_on_an_image_answers_about_the_others() -> None:
    encoder = PlantedCNN()
    bad = to_pixels(fit_image(Patches()[2].open(), encoder.info, "squash"), encoder)  # samples 5 and 8 look the same

    def fails(pixels: Tensor) -> BaseException | None:
        return RuntimeError("no luck") if any(torch.equal(one, bad[0]) for one in pixels) else None

    found = run(evaluation(ColourCAM(True, fails), ColourCAM(True)), 4)
    failures = [one for one in found if isinstance(one, Failure)]
    assert [(one.index, one.method) for one in failures] == [(2, "method0"), (5, "method0"), (8, "method0")]
    assert all("no luck" in one.error for one in failures)
    alone = run(evaluation(ColourCAM(True), ColourCAM(True)), 1)
    expected = [one for one in alone if one.method == "method1" or one.index not in (2, 5, 8)]
    same([one for one in found if isinstance(one, Record)], expected)


def test_when_memory_runs_out_fewer_images_go_together_from_then_on() -> None:
    tight = ColourCAM(True, lambda pixels: MemoryError() if len(pixels) > 3 else None)
    same(run(evaluation(tight), 8), run(evaluation(ColourCAM(True)), 1))
    assert tight.images[:3] == [8, 4, 2]
    assert set(tight.images[3:]) == {2, 1}, "and the last of all is alone"


def test_a_resumed_slice_is_explained_whole_and_only_what_is_missing_is_told() -> None:
    whole = run(evaluation(ColourCAM(True), ColourCAM(True)), 4)
    written = {(one.index, one.method) for one in whole[:5]}  # killed in the middle of the first slice
    again = ColourCAM(True)
    rest = run(evaluation(ColourCAM(True), again), 4, lambda index, label: (index, label) in written)
    assert [told(one) for one in rest] == [told(one) for one in whole[5:]], "to the last bit"
    assert again.images[0] == 4


def test_slices_lie_where_they_lie_whatever_is_done() -> None:
    done = {(1, "a"), (2, "a"), (3, "a"), (5, "b")}
    found = list(sliced((1, 2, 3, 5, 8), 2, lambda index: [label for label in "ab" if (index, label) not in done]))
    assert found == [
        Slice((1, 2), (("b",), ("b",))),
        Slice((3, 5), (("b",), ("a",))),
        Slice((8,), (("a", "b"),)),
    ]
    nothing = sliced((1, 2, 3), 2, lambda index: [] if index < 3 else ["a"])
    assert list(nothing) == [Slice((3,), (("a",),))], "a slice with nothing missing is left out"


def test_each_text_is_embedded_once_and_each_image_passed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    passed: list[int] = []
    embed_text, embed_image = PlantedCNN.encode_text, PlantedCNN.encode_image

    def noted_texts(self: PlantedCNN, asked: Sequence[str]) -> Tensor:
        texts.extend(asked)
        return embed_text(self, asked)

    def noted_images(self: PlantedCNN, pixels: Tensor) -> Tensor:
        passed.append(len(pixels))
        return embed_image(self, pixels)

    monkeypatch.setattr(PlantedCNN, "encode_text", noted_texts)
    monkeypatch.setattr(PlantedCNN, "encode_image", noted_images)
    records = run(evaluation(ColourCAM(True), ColourCAM(True)), 4)
    assert sorted(texts) == sorted([*NAMES, *NAMES]), "as a label, and as a class"
    assert passed == [4, 4, 3], "two methods, their other texts, and the rank of the class"
    assert all(record.rank == 1 for record in records)


def test_boxes_wait_for_nobody_who_uses_the_encoder() -> None:
    of = replace(evaluation(ColourCAM(True)), metrics=chosen_metrics(["positive_perturbation"]))
    with account() as work:
        found = run(of, 4)
    assert len(found) == 11
    assert all(len(one.values["positive_perturbation"]) == 9 for one in found)
    assert work.forwards > 9 * 11, "they are counted where the run is, not in a thread of their own"


def test_while_a_method_explains_nobody_else_runs_an_encoder_whose_maps_it_takes() -> None:
    # Taken one after the other, two encoders would block two threads that take them in opposite order.
    source = PlantedCNN()
    entered: list[bool] = []

    def intrude() -> None:
        with exclusive(source):
            entered.append(True)

    def intruded(_: Tensor) -> None:
        intruder = Thread(target=intrude, daemon=True)
        intruder.start()
        intruder.join(timeout=0.1)
        entered.append(False)

    run(replace(evaluation(ColourCAM(batches=True, fails=intruded)), sources=[source]), 11)
    assert entered[0] is False
