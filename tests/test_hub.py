"""Downloads from a hub on loopback through the real client: what comes over a bad line is told, and heals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from xtool.errors import SetupError
from xtool.loading import DownloadError, ModelFiles, fetch

if TYPE_CHECKING:
    from local_hub import Fault, LocalHub

SMALL = b'{"a": 1}'
LARGE = bytes(range(256)) * 40


@pytest.fixture
def hub(local_hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its own attempts
    local_hub.add("org/name", {"config.json": SMALL, "weights.bin": LARGE})
    return local_hub


@pytest.fixture
def offline(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def go() -> None:
        hub.stop()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    return go


def test_the_second_run_needs_no_network_not_even_to_know_what_is_not_there(
    hub: LocalHub, offline: Callable[[], None]
) -> None:
    wanted = ("weights.safetensors", "weights.bin")
    for _ in range(2):
        files = ModelFiles.in_repository("org/name")
        assert fetch("org/name", wanted).read_bytes() == LARGE
        assert files.json("config.json") == {"a": 1}
        assert files.json("other.json") is None
        offline()


@pytest.mark.parametrize("fault", ["dropped", "truncated", "corrupt"])
def test_one_bad_download_heals_at_once(hub: LocalHub, fault: Fault) -> None:
    hub.faults["weights.bin"] = [fault]
    assert fetch("org/name", ["weights.bin"]).read_bytes() == LARGE


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("dropped", r"the download of org/name/weights\.bin was interrupted: .*; the same command tries again"),
        ("truncated", r"the download of org/name/weights\.bin was interrupted: .* size 10240 .*; the same command"),
        ("corrupt", r"the download of org/name/weights\.bin arrived damaged each time, .* removed"),
    ],
)
def test_a_line_that_stays_bad_is_one_clear_line_and_the_next_run_heals(hub: LocalHub, fault: Fault, told: str) -> None:
    hub.faults["weights.bin"] = [fault] * 20
    with pytest.raises(DownloadError, match=told) as caught:
        fetch("org/name", ["weights.bin"])
    assert "\n" not in str(caught.value)
    hub.faults.clear()
    assert fetch("org/name", ["weights.bin"]).read_bytes() == LARGE


def test_a_small_file_is_checked_as_a_large_one_is(hub: LocalHub) -> None:
    hub.faults["config.json"] = ["corrupt"]
    assert fetch("org/name", ["config.json"]).read_bytes() == SMALL


def test_a_repository_that_is_not_there_is_told(hub: LocalHub) -> None:
    with pytest.raises(DownloadError, match="the hub has no such repository"):
        ModelFiles.in_repository("org/gone").get("config.json")


def test_a_folder_is_asked_as_a_repository_is(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(SMALL)
    files = ModelFiles.named(str(folder))
    assert files is not None
    assert files.json("config.json") == {"a": 1}
    assert files.get("weights.bin", "config.json") == folder / "config.json"
    assert files.get("weights.bin") is None


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(SetupError, match=r"cannot read config\.json of the folder"):
        ModelFiles.in_folder(str(tmp_path)).json("config.json")


@pytest.mark.parametrize("name", ["RN50", "a/b/c", "./gone", "../gone", "/nowhere/at/all", ""])
def test_what_is_neither_folder_nor_repository(name: str) -> None:
    assert ModelFiles.named(name) is None
