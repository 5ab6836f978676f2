"""From what a user writes to a configured method."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xtool.contracts.specs import SaliencyMethodSpec
from xtool.engine.methods import parse_methods, refusal
from xtool.errors import UsageError
from xtool.testing import PlantedCNN, PlantedViT

pytest.importorskip("xtool_vlscore", reason="needs the plugin xtool-vlscore, which is not installed")


def test_options_are_read_with_their_types() -> None:
    first, second = parse_methods(["vlscore:top_k=256:cap=false, vlscore"])
    assert first.label == "vlscore:top_k=256:cap=false"
    assert first.config.model_dump()["top_k"] == 256
    assert first.config.model_dump()["cap"] is False
    assert second.config.model_dump()["top_k"] is None


def test_none_clears_an_option() -> None:
    (request,) = parse_methods(["vlscore:top_k=none"], {"vlscore": {"top_k": 3}})
    assert request.config.model_dump()["top_k"] is None


def test_settings_hold_for_every_row_and_a_rows_own_option_wins() -> None:
    first, second = parse_methods(["vlscore:temperature=0.5,vlscore:cap=false"], {"vlscore": {"temperature": 0.1}})
    assert [r.config.model_dump()["temperature"] for r in (first, second)] == [0.5, 0.1]


def test_options_beside_a_preset_win_over_it() -> None:
    (request,) = parse_methods(["vlscore:preset=paper:temperature=0.3"])
    assert (request.preset, request.config.model_dump()["temperature"]) == ("paper", 0.3)


def test_the_owner_may_be_named() -> None:
    (request,) = parse_methods(["vlscore:vlscore:top_k=5"])
    assert request.provided.qualified_name == "vlscore:vlscore"
    assert request.config.model_dump()["top_k"] == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("vlscroe", "did you mean vlscore"),
        ("vlscore:topk=3", "did you mean top_k"),
        ("vlscore:top_k=many", "valid integer"),
        ("vlscore:top_k=0", "greater than or equal to 1"),
        ("vlscore:preset=sed", "no preset 'sed'; it has: .*paper"),
        ("vlscore:a=1:b", "cannot be read"),
        ("vlscore,vlscore", "given twice"),
        (" , ", "no method given"),
        ("", "no method given"),
    ],
)
def test_what_makes_no_sense_is_told(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_methods([text])


def test_settings_for_a_method_that_does_not_run_are_refused() -> None:
    with pytest.raises(UsageError, match="gradcam"):
        parse_methods(["vlscore"], {"gradcam": {"layer": "layer3"}})


def test_the_former_name_of_a_preset_still_works_and_warns() -> None:
    with pytest.warns(FutureWarning, match="vlscore:preset=seed is now called preset=paper"):
        (former,) = parse_methods(["vlscore:preset=seed"])
    (present,) = parse_methods(["vlscore:preset=paper"])
    assert (former.config, former.preset) == (present.config, "paper")


def test_an_encoder_that_a_method_cannot_explain_is_refused_with_the_reason() -> None:
    spec = SaliencyMethodSpec(name="own", factory="a:b", config="a:c", summary="")
    tokens = replace(spec, architectures=("vit",))
    blocks = replace(spec, check_encoder="xtool.plugin:transformer_parts")
    cnn, vit = PlantedCNN(), PlantedViT()
    assert [refusal(each, vit) for each in (spec, tokens, blocks)] == ["", "", ""]
    assert refusal(spec, cnn) == ""
    assert refusal(tokens, cnn) == "method own works on vit encoders; planted-cnn is a cnn"
    assert refusal(blocks, cnn) == "planted-cnn is a cnn, which has no transformer blocks to look into"


def test_a_check_of_a_plugin_that_fails_is_a_reason_that_names_the_method() -> None:
    spec = SaliencyMethodSpec(name="own", factory="a:b", config="a:c", summary="", check_encoder="builtins:len")
    assert "method own" in refusal(spec, PlantedCNN())
    assert "cannot be imported" in refusal(replace(spec, check_encoder="no.such:thing"), PlantedCNN())
