"""The benchmark of records asks a run what people ask, and tells the time and memory that each process took."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks import records

QUESTIONS = [
    "`xtool report`",
    "`xtool report -o page.html`",
    "`xtool report --json`",
    "`compare(resume=True)`, finished",
    "`xtool compare --resume`, finished, with its table",
    "`xtool report`, no seal",
    "`compare(resume=True)`, one record missing",
]


@pytest.mark.slow
def test_each_question_is_answered_and_has_its_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, as to start 14 of them takes a minute; what one costs is measured below."""
    pytest.importorskip("xtool_tiny", reason="needs the bundled model")

    def answered(*arguments: str) -> tuple[float, float, float]:
        with monkeypatch.context() as patched, contextlib.redirect_stdout(io.StringIO()):
            patched.setattr(sys, "argv", list(arguments))
            if arguments[0] == "benchmarks.records":
                records.main()
            else:
                with pytest.raises(SystemExit) as ended:
                    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
                assert not ended.value.code, arguments
        return (2.0, 1.5, 300.0) if "whole" in " ".join(arguments) else (1.0, 0.5, 180.0)

    monkeypatch.setattr(records, "measured", answered)
    monkeypatch.setattr(sys, "argv", ["records", "--images", "12", "--methods", "2"])
    records.main()
    told = capsys.readouterr().out
    assert "12 images × 2 methods: 24 records" in told
    rows = [line for line in told.splitlines() if line.startswith("| `")]
    assert rows == [f"| {question} | 2.0 (1.5) | 1.0 (0.5) | 120 |" for question in QUESTIONS]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_process_is_measured_by_its_own_time_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "idle.py").write_text("")
    (tmp_path / "busy.py").write_text(
        "import sys, time\n"
        "held = b'x' * (int(sys.argv[1]) << 20)\n"
        "while time.process_time() < 0.3: pass\n"
        "time.sleep(0.2)"
    )
    (tmp_path / "failing.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    _, idle_worked, idle_peak = records.measured("idle")
    seconds, worked, peak = records.measured("busy", "100")
    assert worked >= 0.3 > idle_worked
    assert seconds >= worked + 0.2 - 0.05
    assert 100 <= peak - idle_peak < 110
    with pytest.raises(SystemExit, match="failing ended with 3"):
        records.measured("failing")
