"""The notebook of the docs runs from top to bottom, and what its cells end with can show itself."""

from __future__ import annotations

import ast
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def run_cell(source: str, namespace: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return the value of its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), namespace) if last is not None else None


def test_it_is_committed_without_outputs() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))
    assert NOTEBOOK.stat().st_size < 20_000


def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for plugin in ("xtool_tiny", "xtool_cam", "xtool_vlscore"):
        pytest.importorskip(plugin)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    shown = [run_cell("".join(cell["source"]), namespace) for cell in cells("code")]
    pictures = [value for value in shown if hasattr(value, "_repr_html_")]
    assert len(pictures) == 2
    assert all(Image.open(BytesIO(value._repr_png_())).width > 400 for value in pictures)
    width, height = namespace["picture"].size
    assert np.load("maps.npy").shape == (2, 1, height, width)
    assert Path("answer.png").stat().st_size > 10_000
