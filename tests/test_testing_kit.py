"""The conformance kit, on plugins broken on purpose: each is caught by the check meant for it, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner

from xtool.contracts.config import MethodConfig
from xtool.contracts.registry import registry
from xtool.engine.methods import MethodRequest
from xtool.errors import UsageError
from xtool.testing import verdicts
from xtool.testing.checks.method_options import option_sets

BROKEN_PLUGIN = Path(__file__).parent / "broken_plugin"

METHODS = {
    "sound": set(),
    "flat": {"shape_and_dtype"},
    "double": {"shape_and_dtype"},
    "not-finite": {"finite"},
    "mixes-images": {"batch_equals_singles"},
    "mixes-texts": {"texts_equal_singles"},
    "remembers": {"texts_equal_singles"},
    "dice": {"deterministic"},
    "leaves-a-hook": {"leaves_the_encoder_as_it_was"},
    "leaves-a-gradient": {"leaves_the_encoder_as_it_was"},
    "trains": {"leaves_the_encoder_as_it_was"},
    "freezes": {"leaves_the_encoder_as_it_was"},
    "leaks-on-error": {"leaves_the_encoder_as_it_was_after_an_exception"},
    "swallows": {"leaves_the_encoder_as_it_was_after_an_exception"},
    "text-blind": {"texts_change_the_map"},
    "model-blind": {"weights_change_the_map"},
    "transposed": {"planted_evidence"},
    "shifted": {"planted_evidence"},
    "cropped": {"planted_evidence"},
    "upside-down": {"planted_evidence"},
    "wordless": {"refuses_in_words"},
    "secretly-gradients": {"works_in_inference_mode"},
    "undescribed": {"config_is_valid"},
    "comma": {"config_round_trips_through_the_command_line"},
    "lenient": {"unknown_options_are_refused"},
    "nameless-layer": {"refuses_in_words"},
    "mute": {"specs_resolve"},
}
FEATURES = {
    "sound-features": set(),
    "transposed-features": {"planted_evidence"},
    "other-embedding": {"embedding_is_the_encoders"},
    "any-layer": {"refuses_in_words"},
    "half-features": {"shape_and_dtype", "every_layer_can_be_read"},
}
ENCODERS = {
    "sound-encoder": set(),
    "long-vectors": {"images_become_unit_vectors"},
    "detached": {"images_are_differentiable"},
    "training": {"deterministic"},
    "ignores-seed": {"deterministic"},
    "takes-any-tag": {"refuses_in_words"},
    "sideways": {"layers_read_back"},
    "any-layer-at-all": {"unknown_layers_are_refused"},
    "sound-words": set(),
    "one-number-short": {"words_have_a_number_each"},
    "infinite-words": {"words_have_a_number_each"},
    "chokes-on-long-texts": {"words_have_a_number_each"},
    "counts-its-calls": {"words_are_explained_alike_each_time"},
    "shares-out": {"words_are_explained_alike_each_time"},
    "no-sign": {"words_are_explained_along_the_direction"},
    "leaves-a-word-gradient": {"explaining_words_leaves_no_trace"},
    "not-in-inference-mode": {"explaining_words_leaves_no_trace"},
    "any-word-method": {"unknown_word_methods_are_refused"},
    "wordless-words": {"unknown_word_methods_are_refused"},
}
DATASETS = {
    "sound-data": set(),
    "empty-boxes": {"boxes_lie_in_the_image"},
    "boxes-outside": {"boxes_lie_in_the_image"},
    "unstable": {"order_is_fixed"},
    "same-ids": {"samples_are_sound"},
    "grey": {"images_open"},
    "any-split": {"refuses_in_words"},
}


@pytest.fixture(autouse=True)
def broken_plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(BROKEN_PLUGIN)
    monkeypatch.setenv("XTOOL_DISABLE_PLUGINS", "clip,vlscore,cam,tiny")
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.mark.parametrize(
    ("name", "caught"), [*METHODS.items(), *FEATURES.items(), *ENCODERS.items(), *DATASETS.items()]
)
def test_each_broken_promise_is_caught_by_its_check_and_no_other(name: str, caught: set[str]) -> None:
    bad = {verdict.case.id: verdict.found for verdict in verdicts(name) if verdict.bad}
    assert {case_id.split("-")[0] for case_id in bad} == caught, bad


def test_a_failure_says_what_was_promised_and_what_was_found() -> None:
    (bad, *_) = (verdict for verdict in verdicts("transposed") if verdict.bad)
    assert "orientation, token order and crop are right" in bad.case.explains
    assert "the only red is at (x, y) = (16, 16)" in bad.found


def test_an_expected_failure_is_no_failure_and_an_unexpected_pass_is_one() -> None:
    def found(name: str) -> set[str]:
        reasons = {"texts_change_the_map": "it does not look"}
        return {v.status for v in verdicts(name, expected_failures=reasons) if v.case.check == "texts_change_the_map"}

    assert found("text-blind") == {"expected"}
    assert found("sound") == {"unexpected"}


def test_an_expectation_that_names_no_check_is_refused() -> None:
    with pytest.raises(UsageError, match="text_changes_the_map"):
        list(verdicts("sound", expected_failures={"text_changes_the_map": "misspelt"}))


def test_a_name_that_nobody_contributes_is_refused() -> None:
    with pytest.raises(UsageError, match="no installed plugin contributes 'nothing'"):
        list(verdicts("nothing"))


@pytest.mark.parametrize(
    ("options", "preset", "second"),
    [
        ({}, None, {"count": 9, "fast": True}),
        ({"count": 2}, None, {"fast": True}),
        ({"count": 9, "fast": True}, "much", {"count": 9, "fast": True}),
    ],
)
def test_options_that_a_label_gives_override_those_of_a_preset(
    options: dict[str, Any], preset: str | None, second: dict[str, Any]
) -> None:
    class Config(MethodConfig):
        presets: ClassVar[dict[str, dict[str, Any]]] = {"much": {"count": 9, "fast": True}}
        count: int = 1
        fast: bool = False

    provided: Any = None
    sets = option_sets(MethodRequest("own", provided, Config.model_validate(options), preset))
    assert [next(sets), next(sets)] == [{}, second]


def test_checking_disturbs_no_random_numbers() -> None:
    state = torch.get_rng_state()
    list(verdicts("sound"))
    assert torch.equal(state, torch.get_rng_state())


def test_importing_the_kit_needs_neither_torch_nor_pytest() -> None:
    import subprocess
    import sys

    code = "import sys, xtool.testing; print({'torch', 'numpy', 'pytest'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def check(*arguments: str) -> tuple[int, str]:
    from xtool.cli import main

    registry.cache_clear()
    done = CliRunner().invoke(main, ["plugins", "check", *arguments], env={"COLUMNS": "160"})
    return done.exit_code, done.output


def test_the_command_gives_a_table_and_exit_status_zero_for_what_conforms() -> None:
    status, told = check("broken", "--only", "sound")
    assert status == 0, told
    assert "method sound" in told


def test_the_command_fails_and_names_the_check() -> None:
    status, told = check("broken", "--only", "text-blind")
    assert status == 1
    assert "failed: text-blind texts_change_the_map-cnn" in told
    assert "promised: Two texts for two things in one image get different maps." in told


def test_the_command_as_json_holds_every_verdict() -> None:
    status, told = check("broken", "--only", "grey", "--json")
    found = json.loads(told)["verdicts"]
    assert status == 1
    assert [v["check"] for v in found if v["status"] == "failed"] == ["images_open"]
    assert {v["kind"] for v in found} == {"dataset"}


def test_the_command_refuses_a_plugin_that_is_not_installed() -> None:
    status, told = check("nobody")
    assert status == 2
    assert "no plugin 'nobody' is installed" in told
