"""How deep can a network be? Highway, residual and plain layers of 50 units (Srivastava, Greff, Schmidhuber 2015)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import unrolled as ur
from unrolled.recipes.monitor import Monitor
from unrolled.recipes.recipe import Arm, MissingDataError, Outcome, Outcomes, Recipe, Settings, success_rate
from unrolled.recipes.training import train, wrong_classes
from unrolled.tape import Array
from unrolled.tensor import Tensor

_NAMES = (
    ("x_train", "y_train", "x_test", "y_test"),  # as Keras has it
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_WHERE = (
    "--data FILE, an .npz of MNIST or of the like with x_train, y_train, x_test and y_test, as Keras has it"
)
_DEPTHS = (5, 20, 50)


@dataclass(frozen=True)
class _Settings(Settings):
    data: str = ""
    goal: float = 0.9


class Images(NamedTuple):
    """Pixels (N, P) in float32 from 0 to 1, classes (N,)."""

    x: Array
    classes: Array


def read_images(data: str) -> tuple[Images, Images]:
    """The training and the test set of an .npz with images (N, ...) of bytes."""
    if not data or not Path(data).is_file():
        raise MissingDataError(
            f"highway-depth: the data are not {'at ' + data if data else 'here'}; give {_WHERE}"
        )
    with np.load(data) as found:
        names = next((names for names in _NAMES if set(names) <= set(found.files)), None)
        if names is None:
            raise MissingDataError(f"highway-depth: {data} has {', '.join(found.files)}; give {_WHERE}")
        arrays = [found[name] for name in names]
    sets = []
    for pixels, classes in (arrays[:2], arrays[2:]):
        x = pixels.reshape(len(pixels), -1).astype(np.float32) / 255
        sets.append(Images(x, classes.astype(np.int64)))
    return sets[0], sets[1]


class Layers(ur.Module):
    """Layers of one width: a = f(W a + b), and with `residual` a + f(W a + b)."""

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        f: Callable[[Tensor], Tensor] = ur.tanh,
        residual: bool = False,
        he: bool = False,
        rng: np.random.Generator,
    ) -> None:
        self.f = f
        self.residual = residual
        self.layers = [ur.Linear(width, width, rng=rng) for _ in range(depth)]
        if he:
            for layer in self.layers:
                ur.init.he_normal(layer.W, rng=rng)

    def forward(self, a: Tensor) -> Tensor:
        for layer in self.layers:
            new = self.f(layer(a))
            a = a + new if self.residual else new
        return a


class Classifier(ur.Module):
    """Pixels to `width` units, the deep part, and from there to the classes."""

    def __init__(self, inputs: int, width: int, classes: int, deep: Any, *, rng: np.random.Generator) -> None:
        self.input = ur.Linear(inputs, width, rng=rng)
        self.deep = deep
        self.output = ur.Linear(width, classes, rng=rng)

    def forward(self, x: Any) -> Tensor:
        logits: Tensor = self.output(self.deep(ur.tanh(self.input(x))))
        return logits


Make = Callable[..., Any]  # (width, depth, rng=rng)


def _train(make: Make, depth: int, settings: _Settings, seed: int, monitor: Monitor) -> Outcome:
    known, unseen = read_images(settings.data)
    rng = np.random.default_rng(seed)
    H = settings.hidden_size
    model = Classifier(known.x.shape[1], H, int(known.classes.max()) + 1, make(H, depth, rng=rng), rng=rng)

    def loss() -> tuple[Tensor, int]:
        rows = rng.integers(0, len(known.x), settings.batch_size)
        return ur.cross_entropy(model(known.x[rows]), known.classes[rows]), settings.batch_size

    def check() -> tuple[float, bool]:
        right = 1 - wrong_classes(model(unseen.x).data, unseen.classes) / len(unseen.classes)
        return right, False  # no choice of the moment by the test set: the last update counts

    found = train(model, settings, monitor, loss, check)
    return Outcome(
        found.score >= settings.goal, found.score, found.updates, found.sequences, found.seconds, found.note
    )


_KINDS: dict[str, Make] = {
    "highway": ur.HighwayNetwork,
    "residual": partial(Layers, residual=True),
    "plain": Layers,
    "plain, relu and He start": partial(Layers, f=ur.relu, he=True),
}


def _judge(outcomes: Outcomes, quick: bool) -> bool:
    return success_rate(outcomes[f"highway, depth {_DEPTHS[-1]}"]) == 1


def _baseline(settings: _Settings) -> str:
    if not settings.data:
        return "always the most frequent class (MNIST: 0.1135 right)"
    _, unseen = read_images(settings.data)
    share = np.bincount(unseen.classes).max() / len(unseen.classes)
    return f"always the most frequent class: {share:.4f} right"


RECIPE = Recipe(
    name="highway-depth",
    title="classify MNIST by networks of 5, 20 and 50 layers of 50 units: highway, residual and plain",
    source="R. K. Srivastava, K. Greff, J. Schmidhuber, Training very deep networks, NIPS 2015",
    published="in a public re-run with 50 layers and images like those of MNIST: highway 0.905 right, plain 0.124",
    baseline=_baseline,
    measure="share of the test images right after the last update; solved at 0.9 (quick: 0.5)",
    pass_line="highway of 50 layers has at least 0.90 right with every seed",
    quick_line="highway of 50 layers has at least half of the test images right",
    full=_Settings(updates=1000, seconds=300, batch_size=128, hidden_size=50, lr=0.001, check_every=1000),
    quick=_Settings(200, 300, 64, 50, 0.002, 200, goal=0.5),
    seeds=3,
    arms=tuple(
        Arm(f"{kind}, depth {depth}", partial(_train, make, depth), control=kind != "highway")
        for kind, make in _KINDS.items()
        for depth in _DEPTHS
    ),
    judge=_judge,
    data=_WHERE,
)
