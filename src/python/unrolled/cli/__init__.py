"""The command line: `unrolled`, also `python -m unrolled`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from unrolled.cli.errors import CommandError
from unrolled.cli.options import build_parser

__all__ = ["main"]

_USER_ERROR = 2
_INTERRUPTED = 128 + 2  # what a shell reports for a process ended by SIGINT
_CLOSED_PIPE = 128 + 13  # ... by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0, 2 for a mistake of the user, 130 after Ctrl-C."""
    _open_missing_streams()
    args = build_parser().parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that lacks a character shows a question mark
        sys.stdout.reconfigure(errors="replace")
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(f"{args.prog}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does; nobody is left to tell
        _give_up_output()
        return _CLOSED_PIPE
    except CommandError as error:
        return _fail(args.prog, str(error))
    except MemoryError as error:
        return _fail(
            args.prog, f"not enough memory ({error}); smaller --hidden, --batch or --steps need less"
        )
    except OSError as error:
        return _fail(args.prog, explain(error))


def _open_missing_streams() -> None:
    """Python has no stream where the shell closed it (`>&-`); what is written there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (open to the end)


def explain(error: OSError) -> str:
    """The sentence of an operating system's error: which file, and what the matter is."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _fail(prog: str, sentence: str) -> int:
    try:
        sys.stdout.flush()
    except OSError:  # standard output itself is full or closed
        _give_up_output()
    print(f"{prog}: {sentence}", file=sys.stderr)
    return _USER_ERROR


def _give_up_output() -> None:
    """Lets what is left of the output go nowhere, so that the interpreter does not fail on it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
