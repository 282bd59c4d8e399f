"""Models that change after they were made, saved, loaded and trained."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

import unrolled as ur

X = np.linspace(-1, 1, 5 * 2 * 3).reshape(5, 2, 3).astype(np.float32)


def train(model: ur.Module, path: Any, columns: int = 2, **options: Any) -> None:
    y = np.zeros((*X.shape[:2], columns), np.float32)
    ur.fit(
        model,
        ur.data.ArrayBatches(X, y, 2, target_axis=1),
        loss=ur.mean_squared_error,
        checkpoint=path,
        **options,
    )


class Net(ur.Module):
    def __init__(self, classes: int = 2, *, rng: Any = None) -> None:
        self.cell = ur.GRU(3, 4, rng=rng)
        self.heads = [ur.Linear(4, classes, rng=rng)]
        self.mean = np.zeros(3, np.float32)
        self.steps = 0
        self.offset = ur.Tensor(np.zeros(3, np.float32))

    def forward(self, x: Any) -> ur.Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * np.asarray(x).mean(axis=(0, 1))
            self.steps += 1
        y: Any = self.cell(x - self.mean - self.offset)[0]
        for head in self.heads:
            y = head(y)
        return y


class Two(ur.Module):
    def __init__(self, shared: bool = False, tied: bool = False, *, rng: Any = None) -> None:
        self.a = ur.Linear(3, 3, rng=rng)
        self.b = self.a if shared else ur.Linear(3, 3, rng=rng)
        if tied:
            self.b.W = self.a.W

    def forward(self, x: Any) -> ur.Tensor:
        return self.b(ur.tanh(self.a(x)))


def outputs(layer: Any) -> np.ndarray:
    layer.eval()
    with ur.no_grad():
        y = layer(X)
    return np.asarray(y[0] if isinstance(y, tuple) else y)


def saved(model: ur.Module, path: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ur.save(model, path)
    return ur.load(path)
