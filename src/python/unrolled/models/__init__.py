"""Whole systems: language models."""
