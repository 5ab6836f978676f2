"""The models that open_clip knows, read from the JSON files that it ships, without importing it (or torch)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xtool.plugin import EncoderSpec, SetupError

LOAD = "xtool_clip.load:load"

OPENAI_MODELS = frozenset(
    {
        "RN50",
        "RN101",
        "RN50x4",
        "RN50x16",
        "RN50x64",
        "ViT-B-32",
        "ViT-B-16",
        "ViT-L-14",
        "ViT-L-14-336",
    }
)
"""Models that OpenAI trained: their default weights are OpenAI's. The others have no obvious default."""

PAPERS = (
    # The first fragment that the name contains decides, so the special come before the general.
    ("SigLIP2", "Tschannen et al. 2025, arXiv:2502.14786"),
    ("nllb-clip", "Visheratin 2023, arXiv:2309.01859"),
    ("SigLIP", "Zhai et al. 2023, arXiv:2303.15343"),
    ("EVA", "Sun et al. 2023, arXiv:2303.15389"),
    ("MobileCLIP2", "Faghri et al. 2025, arXiv:2508.20691"),
    ("MobileCLIP", "Vasu et al. 2024, arXiv:2311.17049"),
    ("PE-Core", "Bolya et al. 2025, arXiv:2504.13181"),
    ("ViTamin", "Chen et al. 2024, arXiv:2404.02132"),
    ("CLIPA", "Li et al. 2023, arXiv:2305.07017"),
    ("coca", "Yu et al. 2022, arXiv:2205.01917"),
    ("worldwide", "Chuang et al. 2025, arXiv:2507.22062"),
)
CLIP_PAPER = "Radford et al. 2021, arXiv:2103.00020"


def encoder_specs() -> Iterator[EncoderSpec]:
    """One spec per model of the installed open_clip, in alphabetical order.

    Raises :class:`xtool.plugin.SetupError` when open_clip is not installed.
    """
    for file in sorted(config_folder().glob("*.json"), key=lambda file: file.stem.lower()):
        config = json.loads(file.read_text(encoding="utf-8"))
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
            continue  # open_clip's own rule for what is a model
        yield EncoderSpec(
            name=file.stem,
            factory=LOAD,
            summary=summarise(config),
            paper=paper(file.stem),
            default_pretrained="openai" if file.stem.removesuffix("-quickgelu") in OPENAI_MODELS else None,
        )


def config_folder() -> Path:
    """Where the installed open_clip keeps its model configurations. ``find_spec`` does not import the package."""
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("open_clip is not installed; xtool-clip needs it: pip install open_clip_torch")
    return Path(spec.submodule_search_locations[0]) / "model_configs"


def summarise(config: dict[str, Any]) -> str:
    """Architecture and input size in words, for example ``"ViT, 12 blocks of width 768, patch 16, 224×224 px."``"""
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        tower = f"timm {vision['timm_model_name']}"
    elif isinstance(vision["layers"], list):
        stages = "-".join(map(str, vision["layers"]))
        tower = f"ResNet with attention pooling, {stages} blocks of width {vision['width']}"
    else:
        tower = f"ViT, {vision['layers']} blocks of width {vision['width']}, patch {vision['patch_size']}"
    size = vision.get("image_size", 224)
    height, width = size if isinstance(size, list) else (size, size)
    notes = [f"{height}×{width} px"]
    if config.get("quick_gelu"):
        notes.append("QuickGELU")
    if "hf_model_name" in config["text_cfg"]:
        notes.append(f"text tower {config['text_cfg']['hf_model_name']} (needs transformers)")
    return f"{tower}, {', '.join(notes)}."


def paper(name: str) -> str:
    """Where the model was published."""
    return next((paper for fragment, paper in PAPERS if fragment in name), CLIP_PAPER)
