import json
from pathlib import Path

import pytest

from experiments.shared_logs import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{epoch},{0.3 + 2 / (epoch + 2):.6f}" for epoch in range(12)]
    whole = "\n".join(["epoch,val_loss", *rows]) + "\n"
    (tmp_path / "log.csv").write_text(whole, encoding="utf-8")
    (tmp_path / "half_written_log.csv").write_text(whole[:-5], encoding="utf-8")
    (tmp_path / "other.csv").write_text("epoch,accuracy\n1,0.2\n2,0.4\n", encoding="utf-8")
    (tmp_path / "truth.json").write_text(json.dumps({"val_loss": 0.3 + 2 / 13}), encoding="utf-8")
    return tmp_path


def test_counts_cuts_and_compares_what_is_half_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["shared_logs", str(folder), "--commands", "0"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("half_written_log.csv")
    assert "answers as log.csv after 11 records" in lines[1]
    # After 8, 9, 10 and 11 of 12 records.
    assert lines[2].split()[:3] == ["log.csv", "12", "4"]
    assert lines[3].endswith("of 4 cuts") and len(lines) == 4
