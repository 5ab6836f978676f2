"""Small models of every family with transformers' real code, saved as a user would save them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from xtool.plugin import EncoderOptions
from xtool_transformers.encoder import TransformersEncoder
from xtool_transformers.load import load

WORDS = [
    "a",
    "an",
    "image",
    "photo",
    "of",
    "the",
    "dog",
    "cat",
    "red",
    "green",
    "blue",
    "zebra",
    "light",
    "traffic",
    ".",
]
VISION: dict[str, Any] = {
    "hidden_size": 48,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 16,
}
BERT: dict[str, Any] = {**TEXT, "vocab_size": 5 + len(WORDS), "pad_token_id": 0}
CLIP_NORM = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF_NORM = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
CROPPED = {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 32}}
SQUASHED = {"size": {"height": 32, "width": 32}}
BICUBIC = {"resample": 3}


def clip_tokenizer(folder: Path) -> None:
    """CLIP's byte-pair tokenizer on single letters: a few merges, so that a word may be several tokens."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    merges = ["d o", "do g</w>", "c a", "ca t</w>"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "model_max_length": 16,
                "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
            }
        )
    )


def sentencepiece_tokenizer(folder: Path) -> None:
    """SigLIP's kind: lower case, no punctuation, and the end token for padding, too."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS), *WORDS] * 3),
        model_writer=written,
        vocab_size=64,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(written.getvalue())
    settings = {
        "tokenizer_class": "SiglipTokenizer",
        "model_max_length": 16,
        "model_input_names": ["input_ids"],
        "pad_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def gemma_tokenizer(folder: Path) -> None:
    """SigLIP 2's kind, a word a token; it gives masks of what is padding, which the model must not get."""
    vocabulary = {token: index for index, token in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", model_max_length=16
    )
    fast.save_pretrained(folder)


def bert_tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "model_max_length": 512, "do_lower_case": True})
    )


def _clip(vision: dict[str, Any], text: dict[str, Any]) -> Any:
    ids = {"vocab_size": 194, "bos_token_id": 192, "eos_token_id": 193, "pad_token_id": 193}
    config = transformers.CLIPConfig(
        text_config={**TEXT, **ids, **text}, vision_config={**VISION, **vision}, projection_dim=24
    )
    return transformers.CLIPModel(config)


def _siglip(vision: dict[str, Any], text: dict[str, Any]) -> Any:
    ids = {"vocab_size": 64, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "projection_size": 48}
    config = transformers.SiglipConfig(text_config={**TEXT, **ids, **text}, vision_config={**VISION, **vision})
    return transformers.SiglipModel(config)


def _align(vision: dict[str, Any], text: dict[str, Any]) -> Any:
    small = {
        "width_coefficient": 0.25,
        "depth_coefficient": 1.1,
        "in_channels": [32, 16, 32],
        "out_channels": [16, 32, 96],
        "kernel_sizes": [3, 3, 5],
        "strides": [1, 2, 2],
        "num_block_repeats": [1, 2, 1],
        "expand_ratios": [1, 6, 6],
    }
    config = transformers.AlignConfig(
        text_config={**BERT, **text}, vision_config={**small, **vision}, projection_dim=24
    )
    return transformers.AlignModel(config)


def _blip(vision: dict[str, Any], text: dict[str, Any]) -> Any:
    ids = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "encoder_hidden_size": 48}
    config = transformers.BlipConfig(
        text_config={**BERT, **ids, **text},
        vision_config={**VISION, "initializer_range": 0.02, **vision},
        image_text_hidden_size=24,
    )
    return transformers.BlipForImageTextRetrieval(config)


def _groupvit(vision: dict[str, Any], text: dict[str, Any]) -> Any:
    ids = {"vocab_size": 194, "bos_token_id": 192, "eos_token_id": 193, "pad_token_id": 193}
    small = {
        "hidden_size": 48,
        "num_attention_heads": 3,
        "depths": [2, 1],
        "num_hidden_layers": 3,
        "num_group_tokens": [6, 4],
        "num_output_groups": [6, 4],
        "intermediate_size": 64,
        "image_size": 32,
        "patch_size": 8,
    }
    config = transformers.GroupViTConfig(
        text_config={**TEXT, **ids, **text},
        vision_config={**small, **vision},
        projection_dim=24,
        projection_intermediate_dim=32,
    )
    return transformers.GroupViTModel(config)


MODELS: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2": _siglip,
    "align": _align,
    "blip": _blip,
    "groupvit": _groupvit,
}
TOKENIZERS = {
    "clip": clip_tokenizer,
    "siglip": sentencepiece_tokenizer,
    "siglip2": gemma_tokenizer,
    "align": bert_tokenizer,
    "blip": bert_tokenizer,
    "groupvit": clip_tokenizer,
}
PROCESSORS: dict[str, dict[str, Any]] = {
    "clip": {"image_processor_type": "CLIPImageProcessor", **CLIP_NORM, **CROPPED, **BICUBIC},
    "siglip": {"image_processor_type": "SiglipImageProcessor", **HALF_NORM, **SQUASHED, **BICUBIC},
    "siglip2": {"image_processor_type": "SiglipImageProcessor", **HALF_NORM, **SQUASHED, **BICUBIC},
    # As published: to [-1, 1] by the offset, without the normalisation whose numbers it names all the same.
    "align": {
        "image_processor_type": "EfficientNetImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "do_normalize": False,
        "include_top": False,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "size": {"height": 64, "width": 64},
        **BICUBIC,
    },
    "blip": {"image_processor_type": "BlipImageProcessor", **CLIP_NORM, **SQUASHED, **BICUBIC},
    "groupvit": {"image_processor_type": "CLIPImageProcessor", **CLIP_NORM, **CROPPED, **BICUBIC},
}
FAMILIES = tuple(MODELS)
TRANSFORMERS = ("clip", "siglip", "blip")
"""Those whose image tower can be taken apart."""


def save_model(
    family: str, folder: Path, *, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None
) -> Any:
    """A random model in a folder, with its tokenizer and its processor's settings; returned in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS[family](vision or {}, text or {}).float().eval()
        for part in model.modules():  # what starts at zero or one would hide that it is left out
            if isinstance(part, nn.Linear | nn.LayerNorm | nn.Conv2d) and part.bias is not None:
                nn.init.normal_(part.bias, std=0.1)
            if isinstance(part, nn.LayerNorm):
                nn.init.normal_(part.weight, mean=1.0, std=0.2)
            if isinstance(part, nn.MultiheadAttention):
                nn.init.normal_(part.in_proj_bias, std=0.1)
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
                nn.init.normal_(part.running_mean, std=0.1)
        if family == "align":  # with the statistics that its batch norms begin with, all images look alike
            for part in model.modules():
                part.momentum = 1.0
            model.vision_model.train()(torch.randn(4, 3, 64, 64))
            model.eval()
    model.save_pretrained(folder)
    TOKENIZERS[family](folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[family]))
    return model


def open_model(folder: Path, **options: Any) -> TransformersEncoder:
    """The encoder of a folder, with its own weights unless others are asked for."""
    return load(f"hf:{folder}", EncoderOptions(**{"device": "cpu", "pretrained": "own", **options}))


def noise(encoder: TransformersEncoder, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Pixels of the encoder's input size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *encoder.info.input_size, generator=generator)


def hooks_in(module: nn.Module) -> int:
    """Hooks of any kind on a module and all inside it."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, name)) for part in module.modules() for name in names)
