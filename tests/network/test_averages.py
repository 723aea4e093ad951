import numpy as np
import pytest
import torch

from lcpfn.network.averages import running_averages, running_range


@pytest.mark.parametrize("length", [1, 5, 130])
@pytest.mark.parametrize("skip", [0, 2])
def test_averages_equal_the_definition(length: int, skip: int) -> None:
    sequence = np.random.default_rng(0).standard_normal((2, length)).astype(np.float32)
    half_lives = (1.0, 8.0)
    result = running_averages(torch.as_tensor(sequence), half_lives, skip=skip)
    for last in range(length):
        for column, half_life in enumerate(half_lives):
            lag = last - np.arange(skip, last + 1)
            weights = 2.0 ** (-lag / half_life)
            expected = 0.0
            if len(weights):
                expected = sequence[:, skip : last + 1] @ weights / weights.sum()
            np.testing.assert_allclose(result[:, last, column], expected, atol=1e-5)


@pytest.mark.parametrize("start", [0, 3, 6])
def test_start_leaves_out_the_first_results_and_numpy_equals_torch(start: int) -> None:
    sequence = np.random.default_rng(1).standard_normal((3, 7)).astype(np.float32)
    whole = running_averages(torch.as_tensor(sequence), (2.0, 4.0))
    torch.testing.assert_close(
        running_averages(torch.as_tensor(sequence), (2.0, 4.0), start), whole[:, start:]
    )
    np.testing.assert_allclose(
        running_averages(sequence, (2.0, 4.0), start), whole[:, start:], atol=1e-6
    )


def test_running_range() -> None:
    sequence = np.array([[2.0, 1.0, 3.0, 0.0]], dtype=np.float32)
    for kind in (sequence, torch.as_tensor(sequence)):
        low, high = running_range(kind, 1)
        assert low.tolist() == [[1.0, 1.0, 0.0]] and high.tolist() == [[2.0, 3.0, 3.0]]
