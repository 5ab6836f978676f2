"""No held-out drawing can reach training, and every drawing is credited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xtool_tiny.drawings import VENDORS, load, save, vendors

NOTICE = Path(__file__).parents[3] / "NOTICE"


def test_three_or_more_vendors_train_and_none_of_them_is_held_out() -> None:
    assert len(vendors("train")) >= 3
    assert vendors("held-out")
    assert not vendors("train") & vendors("held-out")
    makers = {"noto-v1": "noto", "fluent-emoji-flat": "fluent-emoji"}
    assert {makers.get(name, name) for name in vendors("train")}.isdisjoint(
        makers.get(name, name) for name in vendors("held-out")
    )


def test_loading_for_training_leaves_held_out_drawings_behind(tmp_path: Path) -> None:
    drawings = {(vendor.name, "dog"): np.zeros((2, 2, 4), np.uint8) for vendor in VENDORS}
    save(tmp_path / "d.npz", drawings)
    assert {vendor for vendor, _ in load(tmp_path / "d.npz", "train")} == vendors("train")
    assert {vendor for vendor, _ in load(tmp_path / "d.npz", "held-out")} == vendors("held-out")


def test_no_vendor_is_share_alike() -> None:
    assert all("-SA-" not in vendor.licence for vendor in VENDORS)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_notice_names_each_vendor_with_version_and_licence(vendor) -> None:  # type: ignore[no-untyped-def]
    line = next(line for line in NOTICE.read_text().splitlines() if f"@iconify-json/{vendor.name} " in line)
    assert vendor.version in line
    assert vendor.licence in line
