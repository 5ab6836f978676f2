"""What encoders load with: devices, seeds, checkpoints, and the hub with all that can go wrong on the way."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import nn

from xtool.errors import SetupError, UsageError
from xtool.loading import (
    DownloadError,
    checkpoint_keys,
    fetch,
    local_checkpoint,
    misfit,
    read_checkpoint,
    resolve_device,
    resolve_dtype,
    seeded,
    sha256,
)

hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub, which encoder plugins bring")
safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors, which encoder plugins bring")


# Devices and dtypes


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", "mps:0", ""])
def test_unknown_devices_are_refused(device: str) -> None:
    with pytest.raises(UsageError, match="use auto, cpu, cuda, cuda:N or mps"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_a_device_that_is_not_there_is_named(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SetupError, match=f"device '{device}' is not available: .*use cpu"):
        resolve_device(device)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(SetupError, match="this machine has cuda:0 to cuda:1"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_auto_takes_the_best_that_is_there(cuda: bool, mps: bool, best: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto").type == best


def test_dtypes_by_name() -> None:
    assert [resolve_dtype(name) for name in ("auto", "bfloat16")] == [torch.float32, torch.bfloat16]
    with pytest.raises(UsageError, match="'half' is not known"):
        resolve_dtype("half")


# Seeds


@pytest.mark.parametrize("seed", [2**64, 10**400])
def test_a_seed_beyond_64_bits_is_told(seed: int) -> None:
    with pytest.raises(UsageError, match="does not fit 64 bits; take one from 0 to 18446744073709551615"):
        seeded(seed).__enter__()
    with seeded(2**64 - 1):
        torch.rand(1)


def test_a_seed_gives_what_torch_gives_and_disturbs_nothing() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(1)
    following = torch.rand(3)
    torch.manual_seed(1)
    with seeded(7):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.rand(3), following)


# Checkpoints


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, -1.0], dtype=torch.float16)}


@pytest.mark.parametrize("wrapped", ["plain", "safetensors", "state_dict", "model", "parallel"])
def test_whatever_a_training_script_put_around_them_the_tensors_are_the_same(
    wrapped: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / ("w.safetensors" if wrapped == "safetensors" else "w.pth")
    if wrapped == "safetensors":
        safetensors.save_file(state, file)
    elif wrapped == "parallel":
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, file)
    else:
        torch.save(state if wrapped == "plain" else {"epoch": 3, wrapped: state}, file)
    found = read_checkpoint(file)
    assert found.keys() == state.keys() == checkpoint_keys(file)
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in state.items())


def test_a_part_of_a_larger_model_is_found_by_the_names_that_the_model_has(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    larger = {f"student.clip.{key}": value for key, value in state.items()}
    torch.save({**larger, "teacher.weight": torch.zeros(9), "head.scale": torch.zeros(1)}, tmp_path / "w.pth")
    assert read_checkpoint(tmp_path / "w.pth", ["weight", "bias"]).keys() == state.keys()
    assert len(read_checkpoint(tmp_path / "w.pth")) == 4


def test_what_does_not_fit_is_told_by_the_first_name_and_what_is_there_instead() -> None:
    assert misfit(["a.weight", "b.bias"], ["b.bias", "a.weight"]) == ""
    assert misfit(["stem.weight", "b.bias"], ["b.bias", "a.weight"]) == (
        "1 of its 2 tensors are missing and 1 are too many; the first that is missing is a.weight, "
        "where the file has stem.weight"
    )
    assert misfit(["a", "b"], ["a"]) == "0 of its 1 tensors are missing and 1 are too many, first b"


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    file, trace = tmp_path / "code.pt", tmp_path / "trace"

    class Code:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    torch.save({"state_dict": {"weight": Code()}}, file)
    for read in (read_checkpoint, checkpoint_keys):
        with pytest.raises(SetupError, match="cannot read weights"):
            read(file)
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_is_refused_with_the_command_that_takes_the_weights_out(tmp_path: Path) -> None:
    file = tmp_path / "program.pt"
    torch.jit.script(nn.Linear(2, 2)).save(str(file))
    with pytest.raises(SetupError, match=r"(?s)is code.*torch\.jit\.load"):
        checkpoint_keys(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not weights at all"])
@pytest.mark.parametrize("name", ["torn.safetensors", "torn.pth"])
def test_a_damaged_file_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SetupError, match=f"cannot read weights .*{name}"):
        read_checkpoint(tmp_path / name)


def test_a_file_without_tensors_is_named(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "log.pth")
    with pytest.raises(SetupError, match=r"log\.pth: it holds no tensors"):
        read_checkpoint(tmp_path / "log.pth")


def test_a_checkpoint_that_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["state_dict"] = {"model": circle}
    torch.save(circle, tmp_path / "circle.pt")
    with pytest.raises(SetupError, match="holds no tensors"):
        read_checkpoint(tmp_path / "circle.pt")


def test_a_path_is_a_file_and_a_word_is_a_tag(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    assert local_checkpoint(str(tmp_path / "w.pth"), "x") == tmp_path / "w.pth"
    assert local_checkpoint("openai", "x") is None
    for missing in ("gone.pth", "folder/gone"):
        with pytest.raises(SetupError, match=f"weights of x: there is no file {re.escape(missing)}"):
            local_checkpoint(missing, "x")
    with pytest.raises(SetupError, match=f"weights of x: {tmp_path} is a folder; name the file in it"):
        local_checkpoint(str(tmp_path), "x")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, example B.1
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# The hub


def cached(cache: Path, content: bytes, digest: str | None = None) -> Path:
    """``me/model`` with ``w.safetensors``, as the hub's client lays it out. Returns the file in the snapshot."""
    blob = cache / "models--me--model" / "blobs" / (digest or hashlib.sha256(content).hexdigest())
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    snapshot = cache / "models--me--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "w.safetensors").symlink_to(blob)
    (cache / "models--me--model" / "refs").mkdir()
    (cache / "models--me--model" / "refs" / "main").write_text("abc")
    return snapshot / "w.safetensors"


def test_a_cached_file_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("asked the network"))
    file = cached(tmp_path, b"weights")
    assert fetch("me/model", ["w.safetensors", "w.bin"], str(tmp_path)) == file


def git_digest(content: bytes) -> str:
    """As ``git hash-object`` gives it; the hub's client calls small files by it."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


@pytest.mark.parametrize("digest", [lambda content: hashlib.sha256(content).hexdigest(), git_digest])
def test_a_file_that_was_damaged_in_the_cache_is_named_and_replaced(
    digest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = cached(tmp_path, b"weighty", digest=digest(b"weights"))

    def download(repository: str, filename: str, cache_dir: str, force_download: bool) -> str:
        assert force_download, "the client takes what is in its cache for whole"
        file.resolve().write_bytes(b"weights")
        return str(file)

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert fetch("me/model", ["w.safetensors"], str(tmp_path)).read_bytes() == b"weights"
    assert f"{file} is damaged" in caplog.text


def test_what_arrives_damaged_twice_is_removed_and_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[bool] = []
    cache = tmp_path / "arrived"

    def download(repository: str, filename: str, cache_dir: str, force_download: bool) -> str:
        forced.append(force_download)
        return str(
            cache / "models--me--model/snapshots/abc/w.safetensors"
            if len(forced) > 1
            else cached(cache, b"x", "0" * 64)
        )

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    with pytest.raises(DownloadError, match=r"me/model/w\.safetensors arrived damaged each time.*was removed"):
        fetch("me/model", ["w.safetensors"], str(tmp_path))
    assert forced == [False, True]
    assert not [path for path in cache.rglob("*") if path.name in ("w.safetensors", "0" * 64)]


def test_a_damaged_file_that_cannot_be_replaced_stays_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cached(tmp_path, b"weighty", digest=git_digest(b"weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=f"damaged in the cache, {file}, and HF_HUB_OFFLINE forbids"):
        fetch("me/model", ["w.safetensors"], str(tmp_path))
    assert file.exists()


def test_a_whole_download_of_something_else_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="The download is complete"):
        read_checkpoint(cached(tmp_path, b"<html>Sorry</html>"))


def test_an_unreachable_hub_is_noticed_at_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", nobody)
    start = perf_counter()
    with pytest.raises(DownloadError, match=f"me/model is not in the cache {tmp_path}, and cannot be downloaded"):
        fetch("me/model", ["w.safetensors"], str(tmp_path))
    assert perf_counter() - start < 8


def test_offline_is_said(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom xtool.loading import DownloadError, fetch\n"
        "try:\n    fetch('me/model', ['w'], sys.argv[1])\nexcept DownloadError as error:\n    print(error)"
    )
    # In a process of its own: the client reads the variable when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == f"me/model is not in the cache {tmp_path}, and HF_HUB_OFFLINE forbids downloading it"


def test_a_dropped_connection_says_that_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drop(*_: Any, **__: Any) -> str:
        raise ConnectionResetError("peer closed connection\nwith much more to say")

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", drop)
    with pytest.raises(DownloadError) as caught:
        fetch("me/model", ["w.safetensors"], str(tmp_path))
    assert str(caught.value) == (
        "the download of me/model/w.safetensors was interrupted: peer closed connection; the same command tries again"
    )


def test_the_second_name_is_tried_where_the_first_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, filename: str, **_: Any) -> str:
        if filename == "w.safetensors":
            raise hub.errors.EntryNotFoundError("404")
        return f"/{repository}/{filename}"

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert fetch("me/model", ["w.safetensors", "w.bin"], str(tmp_path)) == Path("/me/model/w.bin")
    with pytest.raises(DownloadError, match=r"has none of the files w\.safetensors"):
        fetch("me/model", ["w.safetensors"], str(tmp_path))


def test_a_repository_that_wants_a_login_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(*_: Any, **__: Any) -> None:
        raise hub.errors.GatedRepoError("401", response=Mock(headers={}))

    monkeypatch.setattr(hub, "get_hf_file_metadata", gated)
    with pytest.raises(DownloadError, match=r"https://huggingface\.co/me/model; then log in"):
        fetch("me/model", ["w.safetensors"], str(tmp_path))
