from __future__ import annotations

import numpy as np

from lcpfn.network.columns import Columns


def test_columns_go_by_name():
    columns = Columns({"levels": 2, "share": 1, "gains": 3})
    table = np.arange(len(columns))
    assert table[columns["levels"]].tolist() == [0, 1]
    assert table[columns["share"]] == 2
    assert table[columns["gains"]].tolist() == [3, 4, 5]
    assert table[columns.through("share")].tolist() == [0, 1, 2]
    assert table[columns.through("levels")].tolist() == [0, 1]
