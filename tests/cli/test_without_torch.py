"""Forecasts need no torch; what needs it says so in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RISING = ",".join(f"{1 - 0.9**step:.4f}" for step in range(1, 8))


def without_torch(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code where torch cannot be found."""
    return subprocess.run(
        [sys.executable, "-c", f"import tests.without_torch, sys\n{code}", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return without_torch("from lcpfn.cli import main\nmain()", *arguments)


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "run.csv"
    rows = [f"{step},{1 - 0.9**step:.4f}" for step in range(1, 8)]
    path.write_text("\n".join(["epoch,accuracy", *rows]) + "\n")
    return str(path)


def test_everything_that_forecasts_works() -> None:
    result = without_torch(
        f"""
import lcpfn, numpy as np
values = [{RISING}]
for name in lcpfn.available():
    model = lcpfn.load(name)
    post = model.extrapolate(values, horizon=50)
    batch = model.extrapolate_batch([values, values[:3]], horizon=50)
    backtest = model.backtest(values, horizon=50)
    stream = model.stream(horizon=50)
    streamed = [stream.update(value) for value in values][-1]
    medians = [each.median[-1] for each in (post, batch[0], backtest[-1], streamed)]
    assert np.allclose(medians, medians[0], rtol=1e-4), medians
    assert post.sample(3).shape == (3, 43)
search = lcpfn.Search("maximize", horizon=50)
search.set_records("a", list(enumerate(values, 1)))
assert search.judge("a").action == "continue"
import lcpfn.integrations, lcpfn.search.early_stopping
assert "torch" not in sys.modules
"""
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "words", [["should-stop", "--best", "0.1"], ["extrapolate", "--json"], ["extrapolate"]]
)
def test_commands_that_forecast(words: list[str], log: str) -> None:
    command, *options = words
    result = call(command, log, "--horizon", "50", "--goal", "maximize", *options)
    assert result.returncode == 0 and result.stdout, result.stderr


def test_info_says_what_training_needs() -> None:
    result = call("info")
    assert result.returncode == 0 and "lcpfn-stopping[train]" in result.stdout, result.stderr


@pytest.mark.parametrize(
    "words", [["train", "--out", "nowhere"], ["evaluate", "--curves", "10"]], ids=" ".join
)
def test_commands_that_need_torch_say_so_in_one_line(words: list[str]) -> None:
    result = call(*words)
    assert result.returncode == 2
    assert result.stderr == ("lcpfn: training needs torch: pip install 'lcpfn-stopping[train]'\n")


@pytest.mark.parametrize(
    ("module", "extra"), [("training", "train"), ("mcmc", "mcmc"), ("priors", "train")]
)
def test_modules_that_need_torch_name_the_extra(module: str, extra: str) -> None:
    result = without_torch(
        f"try:\n    import lcpfn.{module}\nexcept ImportError as error:\n    print(error)"
    )
    assert result.stdout.endswith(f"needs torch: pip install 'lcpfn-stopping[{extra}]'\n")


def test_plain_command_lines_wait_for_no_typer(log: str) -> None:
    code = (
        "import sys\nfrom lcpfn.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print({'typer', 'rich', 'torch', 'pydantic'} & set(sys.modules))"
    )
    for words in (["should-stop", log, "--best=0.1"], ["extrapolate", log, "--json"]):
        result = without_torch(code, *words, "-n", "50", "--goal", "maximize")
        assert result.stdout.splitlines()[-1] == "set()", result.stderr
