"""What the page stands on: one image asked twice, progress that is told, work that can be stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xtool.contracts.catalogue import Provided
from xtool.contracts.config import MethodConfig
from xtool.contracts.protocols import Saliency
from xtool.contracts.specs import SaliencyMethodSpec
from xtool.engine.features import SharedExtractor
from xtool.engine.layers import LayerFeatures
from xtool.engine.masking import embed_masked
from xtool.engine.methods import MethodRequest
from xtool.explainer import Explainer
from xtool.testing.planted import PlantedCNN, planted_image

CHANNELS = 6


class MaskScores:
    """Score-CAM in three lines: as many masked images as the planted tower has channels, two at a time."""

    extractor = SharedExtractor(LayerFeatures(), ("planted", "layer1"))

    def explain(self, encoder, pixels, text) -> Saliency:
        maps = self.extractor.extract(encoder, pixels).maps
        masked = embed_masked(encoder, pixels, maps, batch=2)
        scores = torch.einsum("bcd,td->btc", masked.embeddings, text)
        return Saliency(torch.einsum("btc,bchw->bthw", scores.relu(), maps), torch.ones(1, len(text), dtype=torch.bool))


@pytest.fixture
def request_(monkeypatch: pytest.MonkeyPatch) -> MethodRequest:
    monkeypatch.setattr("xtool.explainer.build_method", lambda request, info: MaskScores())
    spec = SaliencyMethodSpec(name="masks", factory="a:b", config="a:c", summary="")
    return MethodRequest("masks", Provided("here", spec), MethodConfig())


@pytest.fixture
def explainer() -> Explainer:
    return Explainer(planted_image({"red": (0, 0, 24, 24), "green": (40, 40, 64, 64)}), PlantedCNN())


def test_a_second_text_needs_no_pass_and_gets_the_same_answer(explainer: Explainer, request_: MethodRequest) -> None:
    passes: list[int] = []
    explainer.explain("red", [request_], on_pass=passes.append)
    assert 1 < sum(passes) < CHANNELS + 2  # constant and equal maps cost none
    later: list[int] = []
    second = explainer.explain("green", [request_], on_pass=later.append)[0]
    assert later == []
    fresh = Explainer(explainer.image, PlantedCNN())
    np.testing.assert_array_equal(second.maps, fresh.explain("green", [request_])[0].maps)
    assert second.forwards == sum(passes), "what was kept is still charged"


def test_what_progress_raises_stops_the_work_and_the_explainer_lives_on(
    explainer: Explainer, request_: MethodRequest
) -> None:
    class StopError(Exception):
        pass

    def stop(images: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        explainer.explain("red", [request_], on_pass=stop)
    assert explainer.explain("red", [request_])[0].maps.max() == 1.0
