"""The models that open_clip knows, read from the JSON files that it ships, without importing it (or torch)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from xtool.loading import cached
from xtool.plugin import EncoderSpec, SetupError

LOAD = "xtool_clip.load:load"
OPENAI_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

OPENAI_MODELS = {
    "RN50": (102_007_137, "resnet50"),
    "RN101": (119_688_033, "resnet101"),
    "RN50x4": (178_300_601, "resnet50x4"),
    "RN50x16": (290_979_217, "resnet50x16"),
    "RN50x64": (623_258_305, "resnet50x64"),
    "ViT-B-32": (151_277_313, "vit_base_patch32"),
    "ViT-B-16": (149_620_737, "vit_base_patch16"),
    "ViT-L-14": (427_616_513, "vit_large_patch14"),
    "ViT-L-14-336": (427_944_193, "vit_large_patch14"),
}
"""Models that OpenAI trained, with their number of parameters and what timm calls their image towers. Their default
weights are OpenAI's; the others have no obvious default."""

FAMILIES = (
    # The first fragment that the name contains decides, so the special come before the general.
    ("SigLIP2", "SigLIP 2", "Tschannen et al. 2025, arXiv:2502.14786"),
    ("nllb-clip", "NLLB-CLIP", "Visheratin 2023, arXiv:2309.01859"),
    ("SigLIP", "SigLIP", "Zhai et al. 2023, arXiv:2303.15343"),
    ("EVA", "EVA-CLIP", "Sun et al. 2023, arXiv:2303.15389"),
    ("MobileCLIP2", "MobileCLIP 2", "Faghri et al. 2025, arXiv:2508.20691"),
    ("MobileCLIP", "MobileCLIP", "Vasu et al. 2024, arXiv:2311.17049"),
    ("PE-Core", "Perception Encoder", "Bolya et al. 2025, arXiv:2504.13181"),
    ("ViTamin", "ViTamin", "Chen et al. 2024, arXiv:2404.02132"),
    ("CLIPA", "CLIPA", "Li et al. 2023, arXiv:2305.07017"),
    ("coca", "CoCa", "Yu et al. 2022, arXiv:2205.01917"),
    ("worldwide", "MetaCLIP 2", "Chuang et al. 2025, arXiv:2507.22062"),
    ("RN", "CLIP ResNet", "Radford et al. 2021, arXiv:2103.00020"),
    ("convnext", "CLIP ConvNeXt", "Radford et al. 2021, arXiv:2103.00020"),
    ("", "CLIP ViT", "Radford et al. 2021, arXiv:2103.00020"),
)
"""A fragment of the name, what the family is called, and where it was published."""


def encoder_specs() -> Iterator[EncoderSpec]:
    """One spec per model of the installed open_clip, in alphabetical order.

    Raises :class:`xtool.plugin.SetupError` when open_clip is not installed.
    """
    for file in sorted(config_folder().glob("*.json"), key=lambda file: file.stem.lower()):
        config = json.loads(file.read_text(encoding="utf-8"))
        if not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
            continue  # open_clip's own rule for what is a model
        parameters, _ = OPENAI_MODELS.get(_model(file.stem), (None, ""))
        family, paper = next((family, paper) for part, family, paper in FAMILIES if part in file.stem)
        yield EncoderSpec(
            name=file.stem,
            factory=LOAD,
            summary=summarise(config),
            paper=paper,
            default_pretrained="openai" if parameters else None,
            family=family,
            knows="photographs",
            parameters=parameters,
            on_disk="xtool_clip.catalogue:on_disk" if parameters else "",
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


def on_disk(name: str) -> bool:
    """Whether OpenAI's weights of a model are in the Hugging Face cache."""
    return cached(repository(name), OPENAI_FILES) is not None


def repository(name: str) -> str:
    """Where the hub keeps open_clip's copy of OpenAI's weights."""
    _, tower = OPENAI_MODELS[_model(name)]
    size = "" if tower.startswith("resnet") else "_336" if _model(name).endswith("336") else "_224"
    return f"timm/{tower}_clip{size}.openai"


def _model(name: str) -> str:
    """A model without its activation: OpenAI's weights are the same for both."""
    return name.removesuffix("-quickgelu")
