"""QuickGELU or GELU: what the name of weights tells, and what is said where the model has the other."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest

from xtool_clip.activation import trained_with_quick_gelu, warn_of_mismatch


def test_the_published_weights_of_every_model_are_never_taken_for_the_other() -> None:
    for model, tag in open_clip.list_pretrained():
        weights, config = open_clip.get_pretrained_cfg(model, tag), open_clip.get_model_config(model)
        repository = "models--" + weights["hf_hub"].strip("/").replace("/", "--")
        file = Path("/cache") / repository / "snapshots" / "abc" / "open_clip_model.safetensors"
        # As open_clip builds it: by the weights, or by the model's own configuration.
        truth = bool(weights.get("quick_gelu") or config.get("quick_gelu"))
        assert trained_with_quick_gelu(file) in (None, truth), (model, tag)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("logs/2026_01_01-model_ViT-B-32-quickgelu-lr_0.001-b_64/checkpoints/epoch_3.pt", True),
        ("logs/2026_01_01-model_ViT-B-32-lr_0.001-b_64/checkpoints/epoch_3.pt", False),
        ("models--timm--vit_base_patch32_clip_224.openai/snapshots/abc/open_clip_model.safetensors", True),
        ("CLIP-ViT-B-32-laion2B-s34B-b79K/open_clip_model.safetensors", False),
        ("vit_l_14-metaclip_400m.pt", True),
        ("epoch_3.pt", None),
        ("DFN2B-CLIP-ViT-L-14-39B.pt", None),
        ("laion400m_e32/weights.pt", None),
    ],
)
def test_the_name_of_a_file_and_of_its_folders_tells(file: str, told: bool | None) -> None:
    assert trained_with_quick_gelu(Path("/data") / file) is told


@pytest.mark.parametrize(
    ("name", "quick_gelu", "file", "way_out"),
    [
        ("ViT-B-32", False, "my-openai.pt", "take --encoder ViT-B-32-quickgelu"),
        ("ViT-B-32-quickgelu", True, "my-laion2b_s34b_b79k.pt", "take --encoder ViT-B-32"),
        ("local-dir:x", False, "my-dfn5b.pt", 'take "quick_gelu": true in its configuration'),
    ],
)
def test_a_mismatch_is_said_with_the_way_out(
    name: str, quick_gelu: bool, file: str, way_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_mismatch(name, {"quick_gelu": quick_gelu}, Path(file))
    assert way_out in caplog.text
    assert file in caplog.text


def test_nothing_is_said_where_nothing_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_mismatch("ViT-B-32", {}, Path("epoch_3.pt"))
    warn_of_mismatch("ViT-B-32-quickgelu", {"quick_gelu": True}, Path("my-openai.pt"))
    assert not caplog.records
