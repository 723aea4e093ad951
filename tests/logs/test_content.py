"""Files that are no text, folders, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lcpfn.errors import InputError
from lcpfn.logs.follow import Follower
from lcpfn.logs.run import read_run, read_runs
from tests.logs.sample_files import FOLDER, LOSSES


class Bomb:
    """Whatever unpickles this has run its code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('it was opened')",)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_run(path)
    return str(caught.value)


class TestPickles:
    @pytest.mark.parametrize("suffix", ["pkl", "pickle", "pt", "pth", "ckpt", "joblib", "npz"])
    def test_refused_by_name_before_they_are_opened(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"history.{suffix}"
        path.mkdir()  # which cannot be opened as a file
        (path / "inner").touch()
        file = tmp_path / f"other.{suffix}"
        file.write_bytes(pickle.dumps(Bomb()))
        assert "pickle" in refusal(file) and "was not opened" in refusal(file)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_refused_by_content(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "history.json"
        for content in ({"loss": [1.0]}, [1.0, 2.0], Bomb()):
            path.write_bytes(pickle.dumps(content, protocol=protocol))
            assert "is a pickle" in refusal(path) or "zero bytes" in refusal(path)

    def test_an_archive_of_pickles_is_not_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "history.log"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
        assert "zip archive" in refusal(path)

    def test_compressed_pickles(self, tmp_path: Path) -> None:
        path = tmp_path / "history.gz"
        path.write_bytes(gzip.compress(pickle.dumps(Bomb())))
        assert "is a pickle" in refusal(path)


class TestEncodings:
    TEXT = "epoch,val_loss\r\n1,0.5\r\n2,0.4\r\n"

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
    def test_read(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "run.csv"
        path.write_bytes(self.TEXT.encode(encoding))
        assert read_run(path).values.tolist() == [0.5, 0.4]

    def test_letters_of_windows(self, tmp_path: Path) -> None:
        path = tmp_path / "run.log"
        path.write_bytes("epoch 1: für loss=0.5\n".encode("cp1252"))
        assert read_run(path, "loss").values.tolist() == [0.5]


class TestFolders:
    def test_hugging_face(self, tmp_path: Path) -> None:
        for step in (500, 1000):
            folder = tmp_path / f"checkpoint-{step}"
            folder.mkdir()
            history = [{"step": at, "loss": 1 / at} for at in range(100, step + 1, 100)]
            state = {"log_history": history, "max_steps": 2000}
            (folder / "trainer_state.json").write_text(json.dumps(state))
        log = read_run(tmp_path)
        assert (len(log.values), log.stated_horizon) == (10, 2000)

    def test_mlflow(self, tmp_path: Path) -> None:
        metrics = tmp_path / "metrics"
        (metrics / "val").mkdir(parents=True)
        lines = [f"{1718000000000 + step} {1 / (step + 1)} {step}\n" for step in range(4)]
        (metrics / "val" / "loss").write_text("".join(lines))
        (metrics / "lr").write_text("1718000000000 0.1 0\n1718000000002 0.05 2\n")
        for folder in (tmp_path, metrics):
            log = read_run(folder, "val_loss")
            assert log.values.tolist() == [1, 1 / 2, 1 / 3, 1 / 4]
            assert log.logged_steps.tolist() == [0, 1, 2, 3]
            assert log.rates is not None and log.rates.tolist() == [0.1, 0.1, 0.05, 0.05]

    def test_lightning_and_others_by_the_name_of_their_file(self, tmp_path: Path) -> None:
        (tmp_path / "hparams.yaml").write_text("lr: 0.1\n")
        (tmp_path / "metrics.csv").write_bytes((FOLDER / "lightning_metrics.csv").read_bytes())
        assert read_run(tmp_path, "val_loss").values.tolist() == list(LOSSES)

    def test_tensorboard(self, tmp_path: Path) -> None:
        events = "events.out.tfevents.1718000000"
        (tmp_path / events).write_bytes((FOLDER / events).read_bytes())
        np.testing.assert_allclose(read_run(tmp_path, "val/loss").values, LOSSES, rtol=1e-7)
        for part in ("train", "validation"):
            (tmp_path / "keras" / part).mkdir(parents=True)
            (tmp_path / "keras" / part / events).write_bytes((FOLDER / events).read_bytes())
        log = read_run(tmp_path / "keras", "validation/val/loss")
        assert len(log.values) == 6

    def test_the_only_file(self, tmp_path: Path) -> None:
        (tmp_path / "my_run.csv").write_text("epoch,loss\n1,2\n")
        assert read_run(tmp_path).values.tolist() == [2]

    def test_several_files_are_listed(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).write_text("epoch,loss\n1,2\n")
        assert "is a folder of 2 files (a.csv, b.csv); name the one to read" in refusal(tmp_path)

    def test_none(self, tmp_path: Path) -> None:
        assert "is a folder that holds no log" in refusal(tmp_path)


class TestSeveralRuns:
    EXPORT = FOLDER / "wandb_export.csv"

    def test_each_run_is_one(self) -> None:
        runs = read_runs(self.EXPORT, "val_loss")
        assert [run.run for run in runs] == ["fond-lake-7", "icy-hill-9"]
        assert runs[0].values.tolist() == list(LOSSES)
        assert all(run.metric == "val_loss" for run in runs)

    def test_the_first_is_read_and_the_others_are_said(self) -> None:
        log = read_run(self.EXPORT, "val_loss")
        assert log.values.tolist() == list(LOSSES)
        assert "the log holds 2 runs, and fond-lake-7 is read, not icy-hill-9" in log.notes[0]

    def test_another_one_by_name(self) -> None:
        log = read_run(self.EXPORT, "icy-hill-9 - val_loss")
        assert log.run == "icy-hill-9" and log.values[0] == 2.1043
        (only,) = read_runs(self.EXPORT, "icy-hill-9 - val_loss")
        assert only.run == "icy-hill-9"

    def test_extremes_are_no_metrics(self) -> None:
        with pytest.raises(InputError, match="its columns are Step, val_loss"):
            read_run(self.EXPORT, "val_loss__MAX")


class TestZeroBytes:
    """A crash leaves blocks of them; a log that was cut off under its writer begins with one."""

    TEXT = b"".join(b"epoch %d val_loss %.1f\n" % (at, 9 - at) for at in range(1, 7))

    @pytest.mark.parametrize("place", [0, 44, len(TEXT)])
    def test_blocks_are_passed_over(self, tmp_path: Path, place: int) -> None:
        path = tmp_path / "train.log"
        path.write_bytes(self.TEXT[:place] + bytes(4096) + self.TEXT[place:])
        log = read_run(path, "val_loss")
        assert log.values.tolist() == [8, 7, 6, 5, 4, 3]
        assert any("zero bytes" in note for note in log.notes)

    def test_while_it_grows(self, tmp_path: Path) -> None:
        path = tmp_path / "train.log"
        follower = Follower(path)
        lines = [b"epoch %d val_loss %.1f\n" % (at, 900 - at) for at in range(1, 801)]
        counts = []
        for text in (b"".join(lines[:600]), bytes(64), b"".join(lines[600:])):
            with path.open("ab") as file:
                file.write(text)
            follower.update()
            counts.append(len(follower.runs("val_loss")[0].values))
        assert counts == [600, 600, 800]

    def test_others_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.bin"
        path.write_bytes(b"epoch\0val_loss\0" * 20)
        assert "zero bytes" in refusal(path)


@pytest.mark.parametrize(
    ("compress", "command"), [(bz2.compress, "bzcat"), (lzma.compress, "xzcat")]
)
def test_other_archives_say_how_to_read_them(
    tmp_path: Path, compress: Callable[[bytes], bytes], command: str
) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(compress(b"epoch,val_loss\n1,0.5\n"))
    assert f"{command} FILE | lcpfn" in refusal(path)
