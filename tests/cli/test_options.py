import pytest
from typer.main import get_command

from lcpfn.cli.application import application
from lcpfn.cli.extrapolate import extrapolate
from lcpfn.cli.options import read
from lcpfn.cli.should_stop import should_stop

COMMANDS = {"extrapolate": extrapolate, "should-stop": should_stop}


def read_by_typer(name: str, words: list[str]) -> dict[str, object]:
    """What typer makes of a command line, less what is a default."""
    # Typer leaves a single command without its name only where there is no callback.
    command = get_command(application([name])).commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, list(words))
    given = {
        key: value
        for key, value in context.params.items()
        if context.get_parameter_source(key).name == "COMMANDLINE"  # type: ignore[union-attr]
    }
    return {key: getattr(value, "value", value) for key, value in given.items()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("should-stop", ["run.csv", "--best", "-0.5", "-n", "100"]),
        ("should-stop", ["--best=inf", "-", "--peer", "a", "--peer", "b", "--json"]),
        ("should-stop", ["run", "--best", "1", "--nan", "stop", "--patience", "3"]),
        ("should-stop", ["run", "--best", "1", "--best", "2", "-m", "val loss"]),
        ("extrapolate", ["run", "--goal=minimize", "--of", "best", "--bounds", "0,"]),
        ("extrapolate", ["run", "--horizon", "1e6", "--json", "--observe", "4"]),
        ("extrapolate", ["--plot", "x.png", "run", "--step", "epoch"]),
    ],
)
def test_plain_command_lines_are_read_as_typer_reads_them(name: str, words: list[str]) -> None:
    ours = read(COMMANDS[name], words)
    assert ours is not None
    assert {key: getattr(value, "value", value) for key, value in ours.items()} == read_by_typer(
        name, words
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "-h"],
        ["run"],
        ["--best", "1"],
        ["run", "again", "--best", "1"],
        ["run", "--best"],
        ["run", "--best", "much"],
        ["run", "--best", "1", "--patience", "1.5"],
        ["run", "--best", "1", "--goal", "up"],
        ["run", "--best", "1", "--unknown"],
        ["run", "--best", "1", "--json=yes"],
        ["run", "--best", "1", "-mloss"],
        ["--", "run", "--best", "1"],
    ],
    ids=" ".join,
)
def test_whatever_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert read(should_stop, words) is None
