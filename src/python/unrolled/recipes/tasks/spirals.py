"""Spirals seen at irregular times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unrolled.tape import Array


class Spirals(NamedTuple):
    """x (T, B, 2) points, dt (T, B) time since the point before (the first: since time 0), targets (B,) speed class."""

    x: Array
    dt: Array
    targets: Array


def irregular_spirals(rng: np.random.Generator, rows: int, steps: int, *, noise: float = 0.05) -> Spirals:
    """Points of spirals that turn at one of two speeds, at times with exponential gaps of mean 1.

    The point at time s is exp(-0.02 s) (cos(w s + p), sin(w s + p)) and noise, with a random start p, either sense of
    turning, and |w| about 0.3 (class 0) or 0.45 (class 1), each give or take 0.05. The gaps vary far more than the
    speeds: how far two points are apart says little without the time between them.
    """
    targets = rng.integers(0, 2, rows)
    speed = np.where(targets == 0, 0.3, 0.45) + rng.uniform(-0.05, 0.05, rows)
    speed *= rng.choice([-1, 1], rows)
    dt = rng.exponential(1.0, (steps, rows))
    times = np.cumsum(dt, axis=0)
    angle = speed * times + rng.uniform(0, 2 * np.pi, rows)
    points = np.exp(-0.02 * times)[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    x = points + noise * rng.standard_normal(points.shape)
    return Spirals(x.astype(np.float32), dt.astype(np.float32), targets)
