"""What ends a command with a sentence instead of a traceback."""

from __future__ import annotations

__all__ = ["CommandError"]


class CommandError(Exception):
    """Something the user can put right: printed as one sentence, exit status 2."""
