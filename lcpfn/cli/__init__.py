"""The command line: `lcpfn extrapolate`, `should-stop`, `watch`, `report`, `train`, ...

Exit codes: 0 done (for `should-stop`: go on), 10 stop, 2 bad input with one line on standard error
that names the value and the rule, 130 interrupted.

A command is imported when it is called, and numpy inside it, so that a shell loop does not wait for
what its command does not need.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Any

# In the order in which `lcpfn --help` lists them; each is the function of its name in its module.
COMMANDS = ("extrapolate", "should-stop", "watch", "report", "train", "evaluate", "info")
# What shell loops call: a plain command line of these does not wait for typer.
_QUICK = ("extrapolate", "should-stop")
_INTERRUPTED = 130


def main() -> None:
    """Entry point of the console script `lcpfn`."""
    called = sys.argv[1] if len(sys.argv) > 1 else ""
    # A shell that asks for completions does so by this variable.
    if called in _QUICK and "_LCPFN_COMPLETE" not in os.environ and _answered(called):
        return
    from lcpfn.cli.application import application

    application([called] if called in COMMANDS else COMMANDS)(prog_name="lcpfn")


def _answered(called: str) -> bool:
    """Runs a command whose command line is plain; False where it is not."""
    from lcpfn.cli.options import read

    # Nothing that a short process leaves behind is worth the time to look for it while importing.
    gc.disable()
    name = called.replace("-", "_")
    command = getattr(import_module(f"lcpfn.cli.{name}"), name)
    arguments = read(command, sys.argv[2:])
    if arguments is None:
        return False
    try:
        command(**arguments)
    except BrokenPipeError:
        # Nobody reads any more. What is left in the buffer must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    return True


def __getattr__(name: str) -> Any:
    if name == "app":
        from lcpfn.cli.application import application

        return application(COMMANDS)
    raise AttributeError(f"module 'lcpfn.cli' has no attribute {name!r}")
