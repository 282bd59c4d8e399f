"""Whole systems: language models."""

from unrolled.models.language_model import LanguageModel
from unrolled.models.ngram import KneserNey

__all__ = ["KneserNey", "LanguageModel"]
