"""What the guard around plugins takes for finite."""

from __future__ import annotations

import pytest
import torch

from xtool.engine.guard import all_finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("values", [[float("nan")], [float("inf")], [float("inf"), -float("inf")]])
def test_one_value_that_is_not_finite_is_found(dtype: torch.dtype, values: list[float]) -> None:
    tensor = torch.zeros(100, dtype=dtype)
    assert all_finite(tensor)
    tensor[40 : 40 + len(values)] = torch.tensor(values, dtype=dtype)
    assert not all_finite(tensor)


def test_finite_values_whose_sum_is_too_large_are_finite() -> None:
    assert all_finite(torch.full((10,), 3e38))


def test_nothing_is_finite() -> None:
    assert all_finite(torch.zeros(0, 3))
