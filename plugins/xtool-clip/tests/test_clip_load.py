"""Models by name, weights by tag, path or seed, and the errors on the way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clip_testing import CNN, CPU, TEXT, VIT, Build, noise
from safetensors.torch import save_file

from xtool.plugin import EncoderOptions, SetupError, UsageError
from xtool_clip import checkpoint, load
from xtool_clip.encoder import ClipEncoder


def options(**changes: Any) -> EncoderOptions:
    return CPU.model_copy(update=changes)


def states_equal(first: ClipEncoder, second: ClipEncoder) -> bool:
    one, two = first.model.state_dict(), second.model.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


# Random weights


def test_random_weights_depend_on_the_seed_alone(build: Build) -> None:
    torch.manual_seed(1)
    first = build(VIT, options=options(seed=5))
    torch.manual_seed(2)
    assert states_equal(first, build(VIT, options=options(seed=5)))
    assert not states_equal(first, build(VIT, options=options(seed=6)))


def test_loading_leaves_the_programs_random_numbers_alone(build: Build) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build(CNN)
    assert torch.equal(torch.rand(4), expected)


def test_random_weights_are_open_clips_own_initialisation(rn50: ClipEncoder) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("RN50")
    state = rn50.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_random_rn50_says_that_it_is_random_and_what_it_is(rn50: ClipEncoder) -> None:
    info = rn50.info
    assert not info.trained
    assert info.weights == "random (seed 0)"
    assert info.weights_sha256 is None
    assert (info.architecture, info.input_size, info.embed_dim, info.patch_size) == ("cnn", (224, 224), 1024, None)
    assert info.layers == ("stem", "layer1", "layer2", "layer3", "layer4")
    assert (info.default_layer, info.default_features) == ("layer4", "spatial")
    assert info.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert info.std == pytest.approx((0.26862954, 0.26130258, 0.27577711))


def test_vit_b_16_tells_its_blocks_and_patches(vit_b_16: ClipEncoder) -> None:
    info = vit_b_16.info
    assert info.layers == tuple(f"blocks.{index}" for index in range(12))
    assert (info.architecture, info.patch_size, info.default_layer) == ("vit", 16, "blocks.11")
    assert info.default_features == "tokens"


def test_random_rn50_still_tells_two_texts_apart(rn50: ClipEncoder) -> None:
    """open_clip starts each residual branch at zero, so its maps are faint; they must not be nothing."""
    with torch.no_grad():
        text = rn50.encode_text(["an image of a dog.", "an image of a cat."])
        scores = rn50.encode_image(noise(rn50)) @ text.T
    assert (scores[:, 0] - scores[:, 1]).abs().min() > 1e-3
    assert (scores[0] - scores[1]).abs().min() > 1e-7


# Checkpoints on this machine


@pytest.fixture(scope="module")
def trained(build: Build) -> ClipEncoder:
    """Stands for a trained model: weights that no other seed gives."""
    return build(CNN, options=options(seed=77))


State = dict[str, torch.Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


SHAPES: dict[str, Any] = {
    "plain": lambda state: state,
    "open_clip's training": lambda state: {"epoch": 1, "state_dict": under("module.", state)},
    "model": lambda state: {"model": state, "step": 3},
    "model_state_dict": lambda state: {"model_state_dict": state},
    "wrapped twice": lambda state: {"model": {"state_dict": state}},
    "compiled": lambda state: under("_orig_mod.", state),
    "compiled, then parallel": lambda state: {"state_dict": under("module._orig_mod.", state)},
    "a part of a larger model": lambda state: {
        "state_dict": {**under("model.clip.", state), "model.head.weight": torch.ones(3), "loss.scale": torch.ones(1)}
    },
    "a module of Lightning": lambda state: {"state_dict": under("model.", state), "hyper_parameters": {"lr": 0.1}},
    "another name for it": lambda state: under("clip.", state),
    "numbers of NumPy beside it": lambda state: {"loss": np.float64(0.5), "epoch": np.int64(3), "state_dict": state},
    "numbers for keys": lambda state: {"state_dict": state, "optimizer": {0: torch.ones(2), 1: torch.ones(2)}},
}


@pytest.mark.parametrize("shape", ["safetensors", *SHAPES])
def test_a_local_checkpoint_gives_the_same_embeddings_whatever_is_around_it(
    build: Build, trained: ClipEncoder, tmp_path: Path, shape: str
) -> None:
    if "NumPy" in shape and not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("torch before 2.5 lets no NumPy number through")
    file, state = tmp_path / "weights.pt", trained.model.state_dict()
    if shape == "safetensors":
        file = file.with_suffix(".safetensors")
        save_file(state, file)
    else:
        torch.save(SHAPES[shape](state), file)
    loaded = build(CNN, weights=file)
    pixels = noise(trained)
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(pixels), trained.encode_image(pixels))
    assert torch.equal(loaded.encode_text(["dog"]), trained.encode_text(["dog"]))
    assert loaded.info.trained
    assert loaded.info.weights == file.name
    assert loaded.info.weights_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_float16_weights_are_computed_with_in_float32(build: Build, trained: ClipEncoder, tmp_path: Path) -> None:
    file = tmp_path / "half.safetensors"
    save_file({key: tensor.half() if tensor.is_floating_point() else tensor
               for key, tensor in trained.model.state_dict().items()}, file)  # fmt: skip
    loaded = build(CNN, weights=file)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}
    with torch.no_grad():
        cosine = (loaded.encode_image(noise(loaded)) * trained.encode_image(noise(trained))).sum(-1)
    assert cosine.min() > 0.999


def test_load_local_takes_mean_tokenizer_and_label_from_its_caller(trained: ClipEncoder, tmp_path: Path) -> None:
    config, weights = tmp_path / "config.json", tmp_path / "weights.safetensors"
    model_cfg = {"embed_dim": 24, "vision_cfg": CNN, "text_cfg": {**TEXT, "vocab_size": 49408}}
    preprocess_cfg = {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}
    config.write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}))
    save_file(trained.model.state_dict(), weights)

    def tokenizer(texts: list[str]) -> torch.Tensor:
        return torch.tensor([[49406, len(text), 49407] + [0] * 74 for text in texts])

    encoder = load.load_local(
        "bundled", config=config, weights=weights, options=CPU, tokenizer=tokenizer, label="bundled v1"
    )
    assert (encoder.info.name, encoder.info.weights) == ("bundled", "bundled v1")
    assert (encoder.info.mean, encoder.info.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert torch.equal(encoder.encode_text(["dog"]), encoder.encode_text(["cat"]))  # same length, same tokens


def test_a_named_model_loads_a_checkpoint_by_its_path(rn50: ClipEncoder, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(rn50.model.state_dict(), file)
    loaded = load.load("RN50", options(pretrained=str(file), seed=9))
    assert states_equal(loaded, rn50)
    assert loaded.info.weights == "mine.pth"
    assert not has_quick_gelu(loaded)


def has_quick_gelu(encoder: ClipEncoder) -> bool:
    return any(type(part).__name__ == "QuickGELU" for part in encoder.model.modules())


def test_openai_weights_get_quick_gelu_by_themselves(tmp_path: Path) -> None:
    """By the signature of OpenAI's own files, and by the name of the copies that have lost it."""
    state = load.load("ViT-S-32-alt", CPU).model.state_dict()
    signature = {key: torch.tensor(1) for key in ("input_resolution", "context_length", "vocab_size")}
    torch.save({**state, **signature}, tmp_path / "signed.pth")
    save_file(state, tmp_path / "ViT-openai.safetensors")
    save_file(state, tmp_path / "plain.safetensors")
    for name, expected in {"signed.pth": True, "ViT-openai.safetensors": True, "plain.safetensors": False}.items():
        encoder = load.load("ViT-S-32-alt", options(pretrained=str(tmp_path / name)))
        assert has_quick_gelu(encoder) == expected, name
        assert all(torch.equal(tensor, state[key]) for key, tensor in encoder.model.state_dict().items())


@pytest.fixture
def cached_openai_rn50(rn50: ClipEncoder, tmp_path: Path) -> Path:
    """A Hugging Face cache that holds open_clip's copy of OpenAI's RN50 (with weights from a seed)."""
    repository = tmp_path / "models--timm--resnet50_clip.openai"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(rn50.model.state_dict(), snapshot / "open_clip_model.safetensors")
    return tmp_path


def test_a_cached_tag_in_any_case_loads_without_network_and_with_quick_gelu(cached_openai_rn50: Path) -> None:
    encoder = load.load("RN50", options(pretrained="OpenAI", cache_dir=str(cached_openai_rn50)))
    assert encoder.info.weights == "openai"
    assert encoder.info.trained
    assert len(encoder.info.weights_sha256 or "") == 64
    assert has_quick_gelu(encoder)


def test_a_local_checkpoint_is_normalised_as_its_model_always_was() -> None:
    assert checkpoint._usual_normalisation("ViT-B-16-SigLIP") == {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    assert checkpoint._usual_normalisation("RN50")["mean"] == open_clip.OPENAI_DATASET_MEAN


# Errors


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean ViT-B-16"):
        load.load("vit-b16", CPU)


def test_an_unknown_tag_is_answered_with_the_models_tags() -> None:
    with pytest.raises(UsageError, match="'laion9b'; it has openai, yfcc15m, cc12m"):
        load.load("RN50", options(pretrained="laion9b"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SetupError, match=r"there is no file /nowhere/rn50\.pt"):
        load.load("RN50", options(pretrained="/nowhere/rn50.pt"))


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pt", "empty.pth"])
def test_a_damaged_checkpoint_is_one_clear_error(build: Build, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"" if name.startswith("empty") else b"PK\x03\x04 not weights at all" * 10)
    with pytest.raises(SetupError, match=f"cannot read weights .*{name}"):
        build(CNN, weights=file)


def test_a_checkpoint_with_code_in_it_is_refused_and_the_code_not_run(build: Build, tmp_path: Path) -> None:
    file, trace = tmp_path / "code.pt", tmp_path / "trace"

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    torch.save({"state_dict": {"weight": Code()}}, file)
    with pytest.raises(SetupError, match="cannot read weights"):
        build(CNN, weights=file)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("another architecture", r"are missing and \d+ are too many; the first that is missing is visual\.bn1"),
        ("one tensor less", r"1 of its \d+ tensors are missing and 0 are too many; .* is visual\.conv1\.weight"),
        ("another name", r"missing is visual\.conv1\.weight, where the file has visual\.stem\.weight"),
        ("one too many", r"0 of its \d+ tensors are missing and 1 are too many, first visual\.extra"),
        ("another shape", r"size mismatch for visual\.conv1\.weight"),
        ("transformers", r"It is a checkpoint of transformers"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_first_that_is_missing(
    build: Build, trained: ClipEncoder, vit: ClipEncoder, tmp_path: Path, wrong: str, told: str
) -> None:
    file, state = tmp_path / "wrong.safetensors", dict(trained.model.state_dict())
    if wrong == "another architecture":
        state = dict(vit.model.state_dict())
    elif wrong == "one too many":
        state["visual.extra"] = torch.ones(2)
    elif wrong == "another shape":
        state["visual.conv1.weight"] = state["visual.conv1.weight"][:1].clone()
    elif wrong == "transformers":
        state = {
            "vision_model.embeddings.class_embedding": torch.ones(4),
            "text_model.final_layer_norm.bias": torch.ones(4),
        }
    else:
        taken = state.pop("visual.conv1.weight")
        if wrong == "another name":
            state["visual.stem.weight"] = taken
    save_file(state, file)
    with pytest.raises(SetupError, match=rf"(?s)wrong\.safetensors do not fit small: .*{told}"):
        build(CNN, weights=file)


def test_an_unreadable_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SetupError, match=r"cannot read the configuration of x, .*config\.json"):
        load.load_local("x", config=tmp_path / "config.json", weights=None, options=CPU)


def refused_offline(name: str, pretrained: str | None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said without network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = perf_counter()
    with pytest.raises(SetupError) as caught:
        load.load(name, options(pretrained=pretrained, cache_dir=str(cache)))
    assert perf_counter() - start < 5
    return str(caught.value)


def test_without_network_one_error_says_what_was_tried_and_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused_offline("RN50", "openai", tmp_path, monkeypatch)
    tried = ("'openai' of RN50", "timm/resnet50_clip.openai", str(tmp_path), "HF_HUB_OFFLINE")
    for words in (*tried, "--pretrained PATH", "--cache-dir", "--pretrained none", "xtool encoders"):
        assert words in message


def test_a_tokenizer_whose_text_tower_cannot_be_built_without_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused_offline("roberta-ViT-B-32", None, tmp_path, monkeypatch)
    assert "cannot get the tokenizer of roberta-ViT-B-32" in message


def test_an_unreachable_hub_is_noticed_at_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", nobody)
    start = perf_counter()
    with pytest.raises(SetupError, match="cannot get the weights 'openai' of RN50"):
        load.load("RN50", options(pretrained="openai", cache_dir=str(tmp_path)))
    assert perf_counter() - start < 8
