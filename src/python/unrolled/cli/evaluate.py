"""`unrolled lm eval`: the score of a saved language model."""

from __future__ import annotations

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from unrolled.cli.errors import CommandError
from unrolled.cli.files import load_model, load_text, use_threads
from unrolled.cli.progress import plural, score
from unrolled.cli.settings import remembered_settings, splits_of, text_of
from unrolled.data.vocabulary import CharVocabulary
from unrolled.models.language_model import LanguageModel

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Scores a file, or the held-out parts of the text the model was trained on."""
    use_threads(args.threads)
    model = load_model(args.checkpoint)
    if args.file is not None:
        _score(model, args.file, load_text(args.file))
        return 0
    settings = remembered_settings(args.checkpoint)
    splits = splits_of(text_of(settings, args.checkpoint), settings.file or "the default text")
    _score(model, "validation", splits.validation)
    _score(model, "test", splits.test)
    return 0


def _score(model: LanguageModel, name: str, text: str) -> None:
    characters = isinstance(model.vocabulary, CharVocabulary)
    unit = "character" if characters else "word"
    tokens = model.vocabulary.encode(text)
    if tokens.size < 2:
        raise CommandError(f"{name} has {plural(tokens.size, unit)}, too short to score; 2 are the least")
    try:
        bits = model.bits(tokens)
    except ValueError as error:
        raise CommandError(str(error)) from error
    result = score(bits * math.log(2.0), unit)
    scored = tokens[1:]
    print(f"{name}: {result} over {plural(scored.size, unit)}{_unknown(model, scored)}")


def _unknown(model: LanguageModel, tokens: NDArray[np.int64]) -> str:
    """How many of the scored tokens the vocabulary does not have; one symbol stands for all of them."""
    symbol = model.vocabulary.unknown
    if symbol is None:
        return ""
    count = int((tokens == model.vocabulary.symbols.index(symbol)).sum())
    if not count:
        return ""
    which = "it" if tokens.size == 1 else f"{count:,} of them ({count / tokens.size:.1%})"
    return f"; {which} {'is' if count == 1 else 'are'} not in the vocabulary"
