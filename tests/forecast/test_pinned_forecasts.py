import sys

import numpy as np
import pytest

import lcpfn
from tests.forecast.pinned_forecasts import MODELS, checksum, computed, pinned


@pytest.mark.parametrize("name", MODELS)
def test_forecasts_have_not_moved(name: str):
    model = lcpfn.load(name)
    of_weights, before = pinned(name)
    assert of_weights == checksum(model), (
        f"the weights of {name} have changed; regenerate the pinned forecasts: "
        "python -m tests.forecast.pinned_forecasts --write"
    )
    now = computed(model)
    assert now.keys() == before.keys() or "torch" not in sys.modules
    for case in now:
        numbers = before[case]
        # Processors differ in the last digits of float32.
        np.testing.assert_allclose(now[case], numbers, rtol=2e-3, atol=1e-300, err_msg=case)
