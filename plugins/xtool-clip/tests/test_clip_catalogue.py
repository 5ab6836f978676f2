"""What the catalogue says without open_clip is what open_clip says."""

from __future__ import annotations

import open_clip
import pytest
import torch

from xtool_clip.catalogue import OPENAI_MODELS, encoder_specs, repository


@pytest.mark.parametrize("name", OPENAI_MODELS)
def test_openais_weights_are_where_open_clip_looks_for_them(name: str) -> None:
    assert open_clip.get_pretrained_cfg(name, "openai")["hf_hub"].rstrip("/") == repository(name)
    assert repository(f"{name}-quickgelu") == repository(name)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32"])
def test_the_number_of_parameters_is_the_models(name: str) -> None:
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(name))
    assert OPENAI_MODELS[name][0] == sum(parameter.numel() for parameter in model.parameters())


def test_every_model_has_a_family_and_a_paper() -> None:
    specs = {spec.name: spec for spec in encoder_specs()}
    assert all(spec.family and spec.paper and spec.knows for spec in specs.values())
    assert specs["ViT-B-16-SigLIP2"].family == "SigLIP 2"
    assert specs["ViT-B-16-SigLIP"].family == "SigLIP"
    assert specs["RN50-quickgelu"].family == "CLIP ResNet"
