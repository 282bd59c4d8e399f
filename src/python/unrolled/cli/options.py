"""Every command's options and help text."""

from __future__ import annotations

import argparse
from typing import Any

from unrolled import __version__
from unrolled.cli.parsing import (
    Parser,
    command,
    count,
    nonnegative,
    parser_of,
    positive,
    probability,
    runs,
    share,
    whole,
)
from unrolled.cli.settings import CHARACTERS, WORDS
from unrolled.models.language_model import CELLS

__all__ = ["build_parser"]

CHECKPOINT = "unrolled-lm.safetensors"

_TOP = """\
Recurrent networks on CPUs.

  unrolled lm train            train a language model on the text every CPython carries, in about a minute
  unrolled lm generate FILE    write text with it
  unrolled lm eval FILE        score it
  unrolled recipes list        published results that can be done again here
  unrolled info                version, processor level, threads, compiler

`unrolled COMMAND -h` explains a command and gives examples."""

_LM = """\
Language models over characters or words.

  unrolled lm train      train one, beside a Kneser-Ney n-gram on the same text, and save it
  unrolled lm generate   write text with a saved one
  unrolled lm eval       score a saved one on a text"""

_TRAIN = """\
Train a recurrent language model on a text and save it.

Without FILE the text is the language reference in pydoc_data.topics, which comes with Python. The text is
split into 90 % to train on, 5 % for validation and 5 % for the test. An interpolated modified Kneser-Ney
n-gram is counted on the same characters (its order chosen on validation) and its score is printed beside the
model's after every epoch. The checkpoint is written after every epoch and at Ctrl-C; --resume goes on from
it as if nothing had happened, to the last bit. A file that is there already is kept under another name."""

_TRAIN_EXAMPLES = """\
examples:
  unrolled lm train                                  about a minute on two cores
  unrolled lm train --quick                          a few seconds, to see that everything works
  unrolled lm train book.txt --cell GRU --epochs 20  your own text
  unrolled lm train book.txt --level word            words instead of characters
  unrolled lm train book.txt --resume                after Ctrl-C, or to add --epochs
  unrolled lm train --layers 2 --hidden 512 --epochs 20 --plot curve.png"""

_GENERATE = """\
Write text with a saved language model, one token at a time, as it is drawn.

The text goes to standard output, without anything else, so it can be piped. The model reads the prompt first;
every character of it must be one the model knows. Temperature, then top-k, then top-p narrow what may be
drawn."""

_GENERATE_EXAMPLES = f"""\
examples:
  unrolled lm generate {CHECKPOINT}
  unrolled lm generate {CHECKPOINT} --prompt "The class " --length 500 --temperature 0.7
  unrolled lm generate {CHECKPOINT} --temperature 0   always the most probable character
  unrolled lm generate {CHECKPOINT} --top-p 0.9 --seed 1 | fold -s"""

_EVAL = """\
Score a saved language model: bits per character (or per word, with the perplexity) on a text.

With FILE every character of it is scored. Without FILE the model is scored on the validation and test parts
of the text it was trained on, as `unrolled lm train` does at its end."""

_EVAL_EXAMPLES = f"""\
examples:
  unrolled lm eval {CHECKPOINT}
  unrolled lm eval {CHECKPOINT} other.txt"""

_RECIPES = """\
Published results, done again on this machine.

  unrolled recipes list       what there is, with the paper's figures
  unrolled recipes run NAME   run one over its seeds; the trivial baseline and the paper's figure stand beside ours"""

_RUN = """\
Run a recipe: every arm over all seeds, then mean, spread and success rate, and whether the pass line that was written
down before is met. The exit status is 0 if it is, 1 if not."""

_RUN_EXAMPLES = """\
examples:
  unrolled recipes run embedded-reber --quick             seconds, to see that everything works
  unrolled recipes run embedded-reber --json reber.json   all 30 seeds, every outcome in a file"""

_INFO = (
    "Show the version, the instruction set level in use and those available, threads, compiler and libraries."
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; what it gives has `run`, the function of the command."""
    parser: argparse.ArgumentParser = parser_of(Parser, "unrolled", _TOP)
    parser.add_argument("--version", action="version", version=f"unrolled {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    lm = command(commands, "lm", "language models: train, generate, eval", _LM)
    lm_commands = lm.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    _add_train(lm_commands)
    _add_generate(lm_commands)
    _add_eval(lm_commands)
    _add_recipes(commands)
    info = command(commands, "info", "version, instruction set level, threads, compiler", _INFO)
    runs(info, "unrolled.cli.info")
    return parser


def _add_train(commands: Any) -> None:
    p = command(commands, "train", "train a language model and save it", _TRAIN, _TRAIN_EXAMPLES)
    p.add_argument(
        "file", nargs="?", metavar="FILE", help="UTF-8 text to learn (default: Python's language reference)"
    )
    model = p.add_argument_group("model")
    add = model.add_argument
    add("--cell", choices=tuple(CELLS), metavar="NAME", help=_default("cell", f"one of {', '.join(CELLS)}"))
    add("--hidden", type=count, metavar="N", help=_default("hidden", "units in every layer"))
    add("--layers", type=count, metavar="N", help=_default("layers", "recurrent layers"))
    add("--embedding", type=count, metavar="N", help=_default("embedding", "size of a token's vector"))
    add("--dropout", type=share, metavar="P", help=_default("dropout", "share of dropped outputs of a layer"))
    add("--level", choices=("char", "word"), help=_default("level", "what a token is"))
    train = p.add_argument_group("training")
    add = train.add_argument
    add("--epochs", type=count, metavar="N", help=_default("epochs", "passes over the text"))
    add("--batch", type=count, metavar="N", help=_default("batch", "parts of the text read side by side"))
    add("--steps", type=count, metavar="N", help=_default("steps", "tokens that gradients flow back through"))
    add("--lr", type=positive, metavar="X", help=_default("lr", "highest learning rate of Adam"))
    add("--clip", type=positive, metavar="X", help=_default("clip", "largest norm of the gradient"))
    add("--quick", action="store_true", help="a small model and one short pass: a few seconds")
    add("--seed", type=whole, metavar="N", help=_default("seed", "of initial weights and dropout"))
    add("--threads", type=count, metavar="N", help="processor threads (default: all available)")
    files = p.add_argument_group("files")
    files.add_argument(
        "--checkpoint", default=CHECKPOINT, metavar="PATH", help=f"where to save (default: {CHECKPOINT})"
    )
    files.add_argument("--resume", action="store_true", help="go on from the checkpoint, with its settings")
    files.add_argument(
        "--plot", metavar="PATH", help="draw the learning curve into a PNG, PDF or SVG file (matplotlib)"
    )
    runs(p, "unrolled.cli.train")


def _add_generate(commands: Any) -> None:
    p = command(commands, "generate", "write text with a saved model", _GENERATE, _GENERATE_EXAMPLES)
    p.add_argument("checkpoint", metavar="CHECKPOINT", help="file that `unrolled lm train` saved")
    p.add_argument("--prompt", default="", metavar="TEXT", help="text to go on from (default: a new line)")
    p.add_argument(
        "--length",
        type=whole,
        default=1000,
        metavar="N",
        help="characters or words to write (default: 1000)",
    )
    p.add_argument(
        "--temperature",
        type=nonnegative,
        default=0.8,
        metavar="X",
        help="0: the most probable (default: 0.8)",
    )
    p.add_argument("--top-k", type=count, metavar="K", help="draw from the K most probable only")
    p.add_argument(
        "--top-p", type=probability, metavar="P", help="draw from the most probable that reach P together"
    )
    p.add_argument(
        "--seed", type=whole, metavar="N", help="the same seed writes the same text (default: a new one)"
    )
    p.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all available)")
    runs(p, "unrolled.cli.generate")


def _add_eval(commands: Any) -> None:
    p = command(commands, "eval", "score a saved model on a text", _EVAL, _EVAL_EXAMPLES)
    p.add_argument("checkpoint", metavar="CHECKPOINT", help="file that `unrolled lm train` saved")
    p.add_argument(
        "file", nargs="?", metavar="FILE", help="UTF-8 text to score (default: the text it was trained on)"
    )
    p.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all available)")
    runs(p, "unrolled.cli.evaluate")


def _add_recipes(commands: Any) -> None:
    recipes = command(commands, "recipes", "published results, done again: list, run", _RECIPES)
    actions = recipes.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    listing = command(
        actions, "list", "what recipes there are", "Show the name, task and published figure of each."
    )
    runs(listing, "unrolled.cli.recipes", "show")
    p = command(actions, "run", "run a recipe", _RUN, _RUN_EXAMPLES)
    p.add_argument("name", metavar="NAME", help="of the recipe, as `unrolled recipes list` has it")
    p.add_argument("--quick", action="store_true", help="the quick form: seconds, and an easier line")
    p.add_argument(
        "--seeds", type=count, metavar="N", help="how many seeds (default: as many as the recipe says)"
    )
    p.add_argument("--data", metavar="PATH", help="folder with the data, for a recipe that reads some")
    p.add_argument(
        "--json",
        metavar="FILE",
        help="write settings, every outcome and the verdict into a file, anew after each seed",
    )
    p.add_argument("--threads", type=count, metavar="N", help="processor threads (default: all available)")
    runs(p, "unrolled.cli.recipes")


def _default(name: str, text: str) -> str:
    """The help text of an option of `lm train` with its default, and the one for words where it differs."""
    characters, words = getattr(CHARACTERS, name), getattr(WORDS, name)
    differs = name != "level" and words != characters
    return f"{text} (default: {characters}{f', for words {words}' if differs else ''})"
