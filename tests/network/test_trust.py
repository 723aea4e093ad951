from __future__ import annotations

import numpy as np

from lcpfn.network.trust import trust


def test_peers_are_trusted_by_how_much_they_can_know():
    share, late = np.array(0.2), np.array(0.8)
    none, one, many = (np.array(float(count)) for count in (0, 1, 64))
    assert trust(share, none, none) == 0
    assert 0 < trust(share, one, one) < trust(share, many, many) < 1
    assert trust(share, none, many) < trust(share, many, many)
    assert trust(late, none, many) < 0.2 < 0.7 < trust(late, many, many)
    assert trust(late, one, one) < trust(share, one, one)
