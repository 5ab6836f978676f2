"""Loading: folders as users have them, and one clear line where something is missing, damaged or of another kind."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hf_testing import FAMILIES, noise, open_model, save_model
from safetensors.torch import load_file, save_file

from xtool.loading import ModelFiles
from xtool.plugin import Encoder, EncoderOptions, SetupError, UsageError, load_encoder
from xtool.plugin import find_encoder as find
from xtool_transformers.encoder import TransformersEncoder
from xtool_transformers.families import FAMILIES as READ
from xtool_transformers.load import load
from xtool_transformers.models import KINDS, claims

Saved = Callable[[str], tuple[Path, Any]]
Opened = Callable[[str], TransformersEncoder]


@pytest.fixture
def clip(saved: Saved, tmp_path: Path) -> Path:
    """A copy of the folder of a small CLIP, to be damaged."""
    return Path(shutil.copytree(saved("clip")[0], tmp_path / "mine"))


def test_a_folder_goes_by_its_own_name_and_by_what_it_holds(clip: Path) -> None:
    assert find(str(clip)).spec.name == f"hf:{clip}"
    encoder = load_encoder(str(clip), device="cpu")
    assert encoder.info.name == f"hf:{clip}"
    assert encoder.info.weights == "mine"
    assert encoder.info.trained
    assert encoder.info.weights_sha256 == sha256((clip / "model.safetensors").read_bytes()).hexdigest()
    assert isinstance(encoder._encoder, Encoder)


def test_what_is_in_open_clips_layout_too_is_left_to_it_and_other_kinds_to_nobody(clip: Path) -> None:
    assert claims(ModelFiles.in_folder(str(clip)))
    (clip / "open_clip_config.json").write_text("{}")
    assert not claims(ModelFiles.in_folder(str(clip)))
    (clip / "open_clip_config.json").unlink()
    (clip / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert not claims(ModelFiles.in_folder(str(clip)))
    with pytest.raises(UsageError, match="model_type 'bert'"):
        find(str(clip))


def test_the_kinds_that_are_claimed_are_those_that_are_read() -> None:
    assert tuple(READ) == KINDS
    assert set(FAMILIES) - {"siglip2"} == set(KINDS)


def _without(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def _with(name: str, content: str | bytes) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def _configured(**changed: Any) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, **changed}))

    return change


def _without_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def _with_another_shape(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["visual_projection.weight"] = torch.zeros(5, 48)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_without("config.json"), r"has no config\.json, where transformers keeps"),
        (_with("config.json", "{"), "cannot read .*config.json"),
        (_configured(model_type="bert"), "of the type 'bert', and xtool-transformers reads clip, siglip, align"),
        (_configured(model_type="siglip2"), "with a fixed grid"),
        (_configured(model_type="clip_vision_model"), "image half of a CLIP"),
        (_configured(projection_dim="wide"), "does not describe a clip model"),
        (_without("preprocessor_config.json"), r"no preprocessor_config.json.*save_pretrained"),
        (_with("preprocessor_config.json", "["), "cannot read .*preprocessor_config.json"),
        (_with("preprocessor_config.json", '{"image_mean": [0.5]}'), "settings that make no sense"),
        (_without("vocab.json"), "cannot load the tokenizer"),
        (_with("tokenizer_config.json", "{"), "cannot load the tokenizer"),
        (_without("model.safetensors"), "cannot load a CLIPModel"),
        (_with("model.safetensors", b"torn"), "cannot load a CLIPModel"),
        (_without_a_tensor, "no weights for 1 tensors of a CLIPModel, the first visual_projection.weight"),
        (_with_another_shape, "cannot load a CLIPModel"),
    ],
)
def test_what_is_missing_or_damaged_is_told_in_one_line(damage: Callable[[Path], Any], told: str, clip: Path) -> None:
    damage(clip)
    with pytest.raises((SetupError, UsageError), match=told) as error:
        open_model(clip)
    assert str(clip) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_weights_of_another_kind_of_model_are_refused_by_the_first_that_is_missing(tmp_path: Path) -> None:
    """A BLIP that captions has no contrastive half; transformers alone would make up random weights for it."""
    model = save_model("blip", tmp_path)
    transformers.BlipForConditionalGeneration(model.config).save_pretrained(tmp_path)
    with pytest.raises(SetupError, match=r"no weights for \d+ tensors of a BlipForImageTextRetrieval, the first"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hf:no such folder", "there is no such folder"),
        ("hf:", "there is no such folder"),
    ],
)
def test_a_name_that_is_no_place_is_refused(name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(name, EncoderOptions(device="cpu"))


def test_a_repository_out_of_reach_tells_the_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SetupError, match=r"HF_HUB_OFFLINE[\s\S]*Ways out: --cache-dir"):
        load("hf:nobody/no-model", EncoderOptions(device="cpu", pretrained="own", cache_dir=str(tmp_path)))


def test_weights_in_parts_in_half_precision_and_in_a_torch_file(saved: Saved, tmp_path: Path) -> None:
    folder, model = saved("clip")
    exact = open_model(folder).encode_text(["a dog"])
    kinds: list[tuple[str, dict[str, str]]] = [("parts", {"max_shard_size": "20kB"}), ("half", {})]
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6):  # with older ones transformers reads no torch files
        kinds.append(("torch", {}))
    for name, options in kinds:
        place = Path(shutil.copytree(folder, tmp_path / name))
        (place / "model.safetensors").unlink()
        if name == "torch":
            torch.save(model.state_dict(), place / "pytorch_model.bin")
        else:
            written = copy.deepcopy(model).half() if name == "half" else model
            written.save_pretrained(place, **options)
        encoder = open_model(place)
        assert encoder.info.weights_sha256
        assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}
        torch.testing.assert_close(encoder.encode_text(["a dog"]), exact, rtol=0, atol=1e-2 if name == "half" else 1e-6)
    parts = sorted((tmp_path / "parts").glob("model-*.safetensors"))
    assert len(parts) > 1
    listed = "".join(f"{sha256(part.read_bytes()).hexdigest()}  {part.name}\n" for part in parts)
    assert open_model(tmp_path / "parts").info.weights_sha256 == sha256(listed.encode()).hexdigest()


def test_a_checkpoint_of_ones_own_is_taken_whatever_training_put_around_it(saved: Saved, tmp_path: Path) -> None:
    folder, model = saved("clip")
    tuned = {name: value + 0.25 for name, value in model.state_dict().items()}
    tuned["text_model.embeddings.position_ids"] = torch.arange(16)[None]  # as older releases kept it
    torch.save(
        {"epoch": 3, "state_dict": {f"module._orig_mod.{name}": value for name, value in tuned.items()}},
        tmp_path / "tuned.pt",
    )
    encoder = open_model(folder, pretrained=str(tmp_path / "tuned.pt"))
    assert encoder.info.weights == "tuned.pt"
    assert encoder.info.trained
    torch.testing.assert_close(encoder.model.state_dict()["logit_scale"], model.state_dict()["logit_scale"] + 0.25)
    torch.save({"visual.proj": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(SetupError, match=r"do not fit hf:.*the first that is missing is logit_scale"):
        open_model(folder, pretrained=str(tmp_path / "other.pt"))
    torch.save({**tuned, "visual_projection.weight": torch.zeros(7)}, tmp_path / "shape.pt")
    with pytest.raises(SetupError, match=r"do not fit hf:.*visual_projection\.weight"):
        open_model(folder, pretrained=str(tmp_path / "shape.pt"))


def test_random_weights_depend_on_the_seed_alone_and_need_no_file(clip: Path, family: str, saved: Saved) -> None:
    (clip / "model.safetensors").unlink()
    folder = clip if family == "clip" else saved(family)[0]
    state = torch.get_rng_state()
    first, again, other = (open_model(folder, pretrained=None, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.info.weights, first.info.trained, first.info.weights_sha256) == ("random (seed 3)", False, None)
    pixels = noise(first)
    with torch.no_grad():
        assert torch.equal(first.encode_image(pixels), again.encode_image(pixels))
        assert not torch.allclose(first.encode_image(pixels), other.encode_image(pixels), rtol=0, atol=1e-6)


def test_loading_disturbs_no_random_numbers_and_no_setting_of_transformers(clip: Path) -> None:
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_rng_state()
    open_model(clip)
    after = logging.get_verbosity(), logging.is_progress_bar_enabled(), torch.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_a_copy_and_what_a_pickle_gives_back_embed_alike(family: str, opened: Opened) -> None:
    encoder = opened(family)
    pixels, texts = noise(encoder), ["a dog", "zebra"]
    for copied in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        with torch.no_grad():
            assert torch.equal(copied.encode_image(pixels), encoder.encode_image(pixels))
        assert torch.equal(copied.encode_text(texts), encoder.encode_text(texts))
        modules = {id(module) for module in copied.model.modules()}
        assert id(copied.visual.vision) in modules  # the tower is still the model's own


def test_a_model_is_in_eval_mode_and_its_weights_keep_requires_grad(family: str, opened: Opened) -> None:
    encoder = opened(family)
    assert not any(module.training for module in (*encoder.model.modules(), *encoder.visual.modules()))
    assert all(parameter.requires_grad for parameter in encoder.visual.parameters())


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({}, 0.48145466, 0.26862954),  # OpenAI's first files name neither
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, 0.5, 0.25),
        ({"do_normalize": False}, 0.0, 1.0),
        # x · 2 − 1, as ALIGN's; the numbers of its normalisation are there, but not used
        (
            {"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True, "image_mean": [9.0] * 3},
            0.5,
            0.5,
        ),
        # ((x − 0.5) / 0.25) / 0.25
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "include_top": True}, 0.5, 0.0625),
    ],
)
def test_mean_and_deviation_are_those_of_all_that_the_processor_does(
    settings: dict[str, Any], mean: float, std: float, clip: Path
) -> None:
    (clip / "preprocessor_config.json").write_text(json.dumps(settings))
    info = open_model(clip).info
    assert info.mean[0] == pytest.approx(mean, abs=1e-7)
    assert info.std[0] == pytest.approx(std, abs=1e-7)


def test_settings_are_found_where_transformers_5_saves_them(clip: Path) -> None:
    written = {"processor_class": "CLIPProcessor", "image_processor": {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}}
    (clip / "processor_config.json").write_text(json.dumps(written))
    assert open_model(clip).info.mean == (0.1, 0.1, 0.1)
    (clip / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert open_model(clip).info.mean[0] == 0.48145466


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"size": {"height": 48, "width": 40}}, (48, 40)),
        (
            {"size": {"height": 64, "width": 64}, "do_center_crop": True, "crop_size": {"height": 40, "width": 40}},
            (40, 40),
        ),
        ({"size": 48}, (48, 48)),
        ({"size": {"shortest_edge": 40}}, (40, 40)),
    ],
)
def test_aligns_input_is_of_the_size_that_its_processor_gives(
    size: dict[str, Any], expected: tuple[int, int], saved: Saved, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved("align")[0], tmp_path / "align"))
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **size}))
    assert open_model(folder).info.input_size == expected


def test_an_input_size_that_a_model_cannot_take_is_refused(saved: Saved) -> None:
    with pytest.raises(UsageError, match="images of 32×32 pixels only"):
        open_model(saved("groupvit")[0], input_size=64)


def test_a_siglip_without_a_pooling_head_is_refused(tmp_path: Path) -> None:
    save_model("siglip", tmp_path, vision={"vision_use_head": False})
    with pytest.raises(UsageError, match="without its pooling head"):
        open_model(tmp_path)


@pytest.mark.parametrize(("pretrained", "error"), [("no-such-tag", UsageError), ("gone.pt", SetupError)])
def test_weights_that_do_not_exist_are_refused(pretrained: str, error: type[Exception], saved: Saved) -> None:
    with pytest.raises(error, match=pretrained):
        open_model(saved("clip")[0], pretrained=pretrained)
