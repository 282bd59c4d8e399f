"""`unrolled lm generate`: text from a saved language model."""

from __future__ import annotations

import argparse
import sys

import numpy as np

from unrolled.cli.errors import CommandError
from unrolled.cli.files import load_model, use_threads

__all__ = ["run"]


def run(args: argparse.Namespace) -> int:
    """Writes the prompt and what the model draws after it, every piece as soon as it is known."""
    use_threads(args.threads)
    model = load_model(args.checkpoint)
    try:
        pieces = model.generate(
            args.prompt,
            args.length,
            temperature=args.temperature,
            top_k=args.top_k,
            top_p=args.top_p,
            rng=np.random.default_rng(args.seed),
        )
        sys.stdout.write(args.prompt)
        for piece in pieces:
            sys.stdout.write(piece)
            sys.stdout.flush()
    except ValueError as error:  # an unknown character in the prompt, or weights that are not numbers
        raise CommandError(str(error)) from error
    sys.stdout.write("\n")
    return 0
