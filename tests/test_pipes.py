"""Where a file is wanted, a pipe without a writer is told and not waited for: it would be for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from xtool.cli import main
from xtool.datasets.annotations import read_voc_xml
from xtool.datasets.files import Tar
from xtool.datasets.text import read_text
from xtool.engine.calibration_file import CalibrationFile
from xtool.errors import XtoolError, regular
from xtool.evaluator.comparison import compare
from xtool.loading.checkpoints import checkpoint_keys, read_checkpoint
from xtool.paint.save import check_target
from xtool.runs.run import Run

PLANTED = Path(__file__).parent / "planted_plugin"
READERS: dict[str, Callable[[Path], Any]] = {
    "calibration.json": CalibrationFile.read,
    "weights.pth": read_checkpoint,
    "weights.safetensors": read_checkpoint,
    "names.safetensors": checkpoint_keys,
    "list.txt": read_text,
    "annotation.xml": read_voc_xml,
    "images.tar": lambda path: Tar(path).index,
    "figure.png": check_target,
}


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    def waited(*_: object) -> None:
        pytest.fail("waits for the pipe")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_is_no_file_to_read_or_to_draw_in(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(XtoolError, match=rf"{name}.* is a pipe, a device or a socket"):
        READERS[name](tmp_path / name)


def test_nor_a_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.toml")
    done = CliRunner().invoke(main, ["compare", "--config", str(tmp_path / "c.toml")])
    assert done.exit_code == 2
    assert "it is a pipe" in done.output


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl"])
def test_nor_a_part_of_a_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xtool.contracts.registry import registry

    monkeypatch.syspath_prepend(PLANTED)
    registry.cache_clear()
    asked: dict[str, Any] = {"encoder": "planted-cnn", "methods": ["everywhere"], "limit": 2, "out": tmp_path / "run"}
    compare("patches", **asked)
    (tmp_path / "run" / name).unlink()
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(XtoolError, match=rf"{name} cannot be read: it is a pipe"):
        list(Run.open(tmp_path / "run").rows())
    with pytest.raises(XtoolError, match=rf"{name} cannot be (read|written): it is a pipe"):
        compare("patches", **asked, resume=True)
    registry.cache_clear()


def test_what_is_not_there_or_a_folder_is_left_to_who_opens_it(tmp_path: Path) -> None:
    assert regular(tmp_path) == tmp_path
    assert regular(tmp_path / "nothing") == tmp_path / "nothing"
