"""What the options of all commands are made of: parsers with help, and kinds of numbers."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

__all__ = [
    "Parser",
    "command",
    "count",
    "nonnegative",
    "parser_of",
    "positive",
    "probability",
    "runs",
    "share",
    "whole",
]


class Parser(argparse.ArgumentParser):
    """One sentence for a wrong option, instead of the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (`{self.prog} -h` lists the options)\n")


def parser_of(
    make: Callable[..., argparse.ArgumentParser], prog: str, text: str, examples: str | None = None
) -> Any:
    """A parser that shows its own help when it is given no command."""
    parser = make(
        prog=prog, description=text, epilog=examples, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def show_help(args: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(run=show_help, prog=prog)
    return parser


def command(commands: Any, name: str, summary: str, text: str, examples: str | None = None) -> Any:
    """Adds a command, called after all the words that lead to it."""
    prefix = str(commands._prog_prefix)
    return parser_of(
        lambda **options: commands.add_parser(name, help=summary, **options),
        f"{prefix} {name}",
        text,
        examples,
    )


def runs(parser: argparse.ArgumentParser, module: str, function: str = "run") -> None:
    """What the command calls; its module is imported only then."""
    parser.set_defaults(run=lambda args: getattr(import_module(module), function)(args))


def _number(text: str, convert: Callable[[str], Any], fits: Callable[[Any], bool], wanted: str) -> Any:
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not math.isfinite(value) or not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r}, expected {wanted}")
    return value


def count(text: str) -> int:
    """1, 2, 3 ..."""
    return int(_number(text, int, lambda value: value >= 1, "a whole number, 1 or more"))


def whole(text: str) -> int:
    """0, 1, 2 ..."""
    return int(_number(text, int, lambda value: value >= 0, "a whole number, 0 or more"))


def positive(text: str) -> float:
    """Above 0."""
    return float(_number(text, float, lambda value: value > 0, "a number above 0"))


def nonnegative(text: str) -> float:
    """0 or above."""
    return float(_number(text, float, lambda value: value >= 0, "a number, 0 or more"))


def share(text: str) -> float:
    """In [0, 1)."""
    return float(_number(text, float, lambda value: 0 <= value < 1, "a number from 0 to below 1"))


def probability(text: str) -> float:
    """In (0, 1]."""
    return float(_number(text, float, lambda value: 0 < value <= 1, "a number above 0, at most 1"))
