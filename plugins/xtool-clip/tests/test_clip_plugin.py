"""What the plugin says about itself, without loading a model."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import open_clip
import pytest

import xtool_clip
from xtool_clip.catalogue import encoder_specs


def test_importing_the_plugin_and_listing_imports_neither_torch_nor_open_clip() -> None:
    code = (
        "import sys, xtool_clip; list(xtool_clip.xtool_encoders()); list(xtool_clip.xtool_feature_extractors());"
        "print([name for name in ('torch', 'numpy', 'open_clip', 'timm') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_every_open_clip_model_is_an_encoder() -> None:
    assert {spec.name for spec in encoder_specs()} == set(open_clip.list_models())


def test_summaries_tell_architecture_and_input_size() -> None:
    summaries = {spec.name: spec.summary for spec in encoder_specs()}
    assert summaries["RN50x4"] == "ResNet with attention pooling, 4-6-10-6 blocks of width 80, 288×288 px."
    assert summaries["ViT-L-14-336"] == "ViT, 24 blocks of width 1024, patch 14, 336×336 px."
    assert "QuickGELU" in summaries["RN50-quickgelu"]
    assert "needs transformers" in summaries["roberta-ViT-B-32"]


def test_default_weights_exist_for_their_model() -> None:
    defaults = {spec.name: spec.default_pretrained for spec in encoder_specs() if spec.default_pretrained}
    assert set(defaults) >= {"RN50", "RN101", "RN50x4", "RN50x16", "ViT-B-32", "ViT-B-16", "ViT-L-14"}
    for name, tag in defaults.items():
        assert tag in open_clip.list_pretrained_tags_by_model(name)


@pytest.mark.parametrize("spec", list(xtool_clip.xtool_feature_extractors()), ids=lambda spec: spec.name)
def test_every_factory_can_be_imported(spec: object) -> None:
    module, attribute = spec.factory.split(":")  # type: ignore[attr-defined]
    assert callable(getattr(import_module(module), attribute)(None).extract)


def test_the_entry_point_names_the_module_with_the_hooks() -> None:
    from importlib.metadata import entry_points

    assert [entry.load() for entry in entry_points(group="xtool", name="clip")] == [xtool_clip]
