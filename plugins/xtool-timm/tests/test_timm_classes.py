"""A classifier of one's own: a checkpoint with outputs of its own, and a file with their names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from xtool.plugin import EncoderOptions, UsageError, load_encoder
from xtool_timm.classes import read_classes
from xtool_timm.load import load

BIRDS = ("robin, redbreast", "wren", "snowy owl")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of a classifier of three birds, as timm's own training script would save it."""
    torch.manual_seed(0)
    file = tmp_path / "birds.pth"
    torch.save({"state_dict": timm.create_model("resnet18", num_classes=3).state_dict()}, file)
    return file


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("birds.txt", "robin, redbreast\nwren\n  snowy owl \n\n"),
        ("birds.json", json.dumps({"1": "wren", "0": ["robin", "redbreast"], "2": "snowy owl"})),
        ("birds.json", json.dumps([["robin", "redbreast"], "wren", "snowy owl"])),
        ("birds.json", json.dumps({"wren": 1, "snowy owl": 2, "robin": 0, "redbreast": 0})),
    ],
)
def test_names_are_read_in_the_order_of_the_outputs(tmp_path: Path, name: str, text: str) -> None:
    found = read_classes(written(tmp_path / name, text))
    assert found.names == [("robin", "redbreast"), ("wren",), ("snowy owl",)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.txt", "robin\n\nwren\n", "a.txt, line 2: it is empty; each output"),
        ("a.txt", "robin\n --- \n", "a.txt, line 2: '---' has neither letters nor digits"),
        ("a.txt", "", "a.txt: it names no class"),
        ("a.json", '{"0": "robin",\n"1" "wren"}', "a.json, line 2: it is not JSON"),
        ("a.json", '{"0": "robin", "2": "wren"}', "a.json: class 1 has no name, and 2 has one"),
        ("a.json", '{"1": "robin", "2": "wren"}', "a.json: class 0 has no name, and 2 has one"),
        ("a.json", '{"0": "robin", "b": "wren"}', "a.json: 'b' is no index"),
        ("a.json", '{"0": "robin", "1": {"x": 1}}', "a.json, class 1: a class is called by a text"),
        ("a.json", '"robin"', "a.json: it must hold a list of names"),
        ("a.json", "[]", "a.json: it names no class"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_classes(written(tmp_path / name, text))
    assert told in str(raised.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.txt: the file .* cannot be read"):
        read_classes(tmp_path / "gone.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        read_classes(tmp_path / "a.txt")


@torch.no_grad()
def test_texts_reach_the_outputs_of_one_s_own_checkpoint_by_the_names_in_the_file(
    tmp_path: Path, checkpoint: Path
) -> None:
    names = written(tmp_path / "birds.txt", "\n".join(BIRDS))
    encoder = load_encoder("timm-resnet18", pretrained=str(checkpoint), classes=names, device="cpu")
    model = timm.create_model("resnet18", num_classes=3).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    pixels = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    texts = encoder.encode_text(["a photo of a redbreast", "wren", "a snowy owl"])
    cosines = encoder.encode_image(pixels) @ texts.T
    assert torch.equal(cosines.argsort(dim=1), model(pixels).argsort(dim=1))


def test_results_say_which_names_were_used(tmp_path: Path, checkpoint: Path) -> None:
    names = written(tmp_path / "birds.txt", "\n".join(BIRDS))
    weights = [load("timm-resnet18", options(checkpoint, names)).info.weights]
    names.write_text("\n".join(reversed(BIRDS)))
    weights.append(load("timm-resnet18", options(checkpoint, names)).info.weights)
    assert all(each.startswith("birds.pth, classes of birds.txt (SHA-256 ") for each in weights)
    assert weights[0] != weights[1]


def options(checkpoint: Path, names: Path | None) -> EncoderOptions:
    return EncoderOptions(pretrained=str(checkpoint), classes=None if names is None else str(names), device="cpu")


@pytest.mark.parametrize(("text", "told"), [("robin\nwren\n", "names for 2"), (None, "names for 1000")])
def test_another_number_of_names_is_refused(tmp_path: Path, checkpoint: Path, text: str | None, told: str) -> None:
    names = None if text is None else written(tmp_path / "birds.txt", text)
    with pytest.raises(
        UsageError, match=rf"birds.pth is of a classifier with 3 classes, and there are {told}.*--classes"
    ):
        load("timm-resnet18", options(checkpoint, names))


def test_any_model_of_timm_takes_a_checkpoint_and_names(tmp_path: Path, checkpoint: Path) -> None:
    names = written(tmp_path / "birds.txt", "\n".join(BIRDS))
    encoder = load_encoder("timm", pretrained=f"resnet18={checkpoint}", classes=names, device="cpu")
    assert encoder.info.weights.startswith("resnet18, birds.pth, classes of birds.txt")


def test_the_packaged_network_takes_names_of_its_own_too(tmp_path: Path) -> None:
    names = written(tmp_path / "birds.txt", "\n".join(BIRDS))
    encoder: Any = load_encoder("timm-tf_efficientnet_lite0", pretrained=None, classes=names, device="cpu")
    assert encoder.visual.model.classifier.out_features == 3


def test_an_encoder_of_any_text_takes_no_names(tmp_path: Path) -> None:
    names = written(tmp_path / "birds.txt", "\n".join(BIRDS))
    pytest.importorskip("xtool_photo")
    with pytest.raises(UsageError, match="takes any text, and no names of classes"):
        load_encoder("photo", pretrained=None, classes=names)


def test_names_in_any_script_are_told_apart(tmp_path: Path) -> None:
    found = read_classes(written(tmp_path / "birds.txt", "Rotkehlchen\n知更鳥\nhibou_des_neiges\nжаворонок\n"))
    for index, text in enumerate(["ein Rotkehlchen", "知更鳥", "hibou des neiges", "это жаворонок"]):
        assert [match.index for match in found.nearest(text).matches] == [index]
