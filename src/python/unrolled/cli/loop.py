"""The training loop of `unrolled lm train`: epochs of truncated back-propagation that can stop and go on at any update."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.cli.settings import TRAINING, Settings
from unrolled.data.batches import ContiguousBatches
from unrolled.io.file import CheckpointError, read, write
from unrolled.io.model import describe, weights
from unrolled.layers import Dropout
from unrolled.losses import cross_entropy
from unrolled.models.language_model import LanguageModel
from unrolled.optim import Adam, DivergenceError, clip_grad_norm

__all__ = ["Run"]

_WARM_UP = 0.1  # share of the updates in which the rate rises
_LAST_RATE = 0.02  # of the highest

Arrays = dict[str, NDArray[Any]]


class Run:
    """A model in training. Everything that the next update depends on is in `save`, so that `resume` goes on bit for bit.

    `history` has one entry per finished epoch. The rate rises linearly to `settings.lr`, then falls as half a cosine.
    """

    def __init__(self, model: LanguageModel, settings: Settings, tokens: NDArray[np.int64]) -> None:
        self.model = model
        self.settings = settings
        self.batches = ContiguousBatches(tokens, settings.batch, settings.steps)
        self.optimizer = Adam(model, lr=settings.lr, betas=(0.9, 0.99))
        self.history: list[dict[str, float]] = []
        self._state: Any = None  # carried from batch to batch
        self._nats = 0.0  # of this epoch so far, over `_seen` tokens
        self._seen = 0

    @property
    def tokens_per_epoch(self) -> int:
        return self.batches.length * self.batches.batch_size

    @property
    def tokens_seen(self) -> int:
        """In the epoch at work; more than 0 after resuming in the middle of one."""
        return self._seen

    def epoch(self, after_update: Callable[[int], None]) -> float:
        """The rest of the epoch at work; returns its loss in bits per token. `after_update` gets the number of tokens."""
        self.model.train()
        for inputs, targets in self.batches:
            self._update(inputs, targets)
            after_update(targets.size)
        bits = self._nats / self._seen / math.log(2.0)
        self._nats, self._seen, self._state = 0.0, 0, None
        return bits

    def _update(self, inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> None:
        logits, state = self.model(inputs, self._state)
        loss = cross_entropy(logits, targets)
        value = float(loss)
        if not math.isfinite(value):
            raise DivergenceError(f"the loss is {value}")
        self.model.zero_grad()
        loss.backward()
        clip_grad_norm(self.model, self.settings.clip)
        self.optimizer.lr = self._rate(self.batches.epoch * len(self.batches) + self.batches.position)
        self.optimizer.step()
        self._state = tuple(type(layer)(*(part.detach() for part in layer)) for layer in state)
        self._nats += value * targets.size
        self._seen += targets.size

    def _rate(self, update: int) -> float:
        total = self.settings.epochs * len(self.batches)
        rising = _WARM_UP * total
        if update < rising:
            return self.settings.lr * update / rising
        done = (update - rising) / (total - rising)
        return self.settings.lr * (_LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model and the state of training to one file; `ur.load` reads the model."""
        arrays: Arrays = {name: tensor._data for name, tensor in self.model.parameters().items()}
        optimizer = self.optimizer.state_dict()
        for name, slots in optimizer.pop("arrays").items():
            arrays.update({f"@optimizer.{slot}.{name}": array for slot, array in slots.items()})
        for number, layer in enumerate(self._state or ()):
            arrays.update({f"@state.{number}.{name}": part._data for name, part in layer._asdict().items()})
        document = {
            "settings": asdict(self.settings),
            "optimizer": optimizer,
            "batches": self.batches.state_dict(),
            "dropout": [module.state_dict() for module in self._dropouts()],
            "history": self.history,
            "nats": self._nats,
            "seen": self._seen,
        }
        write(path, arrays, {"model": describe(self.model), TRAINING: document})

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Goes on from what `save` wrote."""
        arrays, document = read(path)
        try:
            saved = document[TRAINING]
            self.model.load_parameters(weights(arrays))
            optimizer: dict[str, dict[str, Any]] = {}
            for slot, name, array in _named(arrays, "@optimizer."):
                optimizer.setdefault(name, {})[slot] = array
            self.optimizer.load_state_dict({**saved["optimizer"], "arrays": optimizer})
            self.batches.load_state_dict(saved["batches"])
            for module, state in zip(self._dropouts(), saved["dropout"], strict=True):
                module.load_state_dict(state)
            self._state = self._carried({(layer, name): a for layer, name, a in _named(arrays, "@state.")})
            self.history, self._nats, self._seen = list(saved["history"]), saved["nats"], saved["seen"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be resumed: {error}") from error

    def _carried(self, parts: Mapping[tuple[str, str], NDArray[Any]]) -> Any:
        if not parts:
            return None
        zeros = self.model.initial_state(self.batches.batch_size)
        return tuple(
            type(layer)(*(parts[str(number), name] for name in layer._fields)) for number, layer in enumerate(zeros)
        )

    def _dropouts(self) -> list[Dropout]:
        return [module for module in self.model.modules().values() if isinstance(module, Dropout)]


def _named(arrays: Arrays, prefix: str) -> list[tuple[str, str, NDArray[Any]]]:
    """(first word, rest, array) of every name that starts with the prefix."""
    found = []
    for name, array in arrays.items():
        if name.startswith(prefix):
            first, _, rest = name.removeprefix(prefix).partition(".")
            found.append((first, rest, array))
    return found
