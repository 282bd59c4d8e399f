"""Language models trained by unrolled and by PyTorch: same text, batches, weights and optimizer.

Embedding (V, D), LSTM layers, linear (H, V); cross entropy; truncated back-propagation with carried state; gradients
clipped. PyTorch's second biases are frozen at zero: both train the same parameters.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur

from .rows import OURS, Bench, Goal, Row
from .timing import Times, settle
from .workloads import Array

BLOCK = 5  # training steps per turn
TARGET = 2.0  # tokens per second over PyTorch's
# The same training in float32: rounding is amplified, but stays far below the fall of the loss.
MOST_DIFFERENCE = 0.02


@dataclass(frozen=True)
class Model:
    name: str
    D: int  # size of the embedding
    H: int
    layers: int
    T: int
    B: int
    scale: float  # weights start uniform in [-scale, scale]
    optimizer: str  # of both libraries
    learning_rate: float
    clip: float  # largest norm of the gradients
    V: int = 0  # size of the vocabulary; 0: as many as the text has

    def cell(self, layer: int) -> tuple[str, ...]:
        return tuple(f"{name}{layer}" for name in ("W_ih", "W_hh", "b"))

    def parameters(self, V: int) -> dict[str, Array]:
        D, H = self.D, self.H
        shapes: dict[str, tuple[int, ...]] = {"E": (V, D), "W": (V, H), "c": (V,)}
        for layer in range(self.layers):
            sizes = [(4 * H, H if layer else D), (4 * H, H), (4 * H,)]
            shapes |= dict(zip(self.cell(layer), sizes, strict=True))
        rng = np.random.default_rng(0)
        return {n: rng.uniform(-self.scale, self.scale, s).astype(np.float32) for n, s in shapes.items()}


SMALL = Model("character", 16, 32, 1, 20, 1, 0.2, "Adam", 2e-3, 1.0)  # what Python and the tape take
CHARACTERS = Model("character", 64, 256, 1, 64, 32, 1 / 16, "Adam", 2e-3, 1.0)
# The small model of Zaremba, Sutskever and Vinyals 2014.
WORDS = Model("words", 200, 200, 2, 20, 20, 0.08, "SGD", 0.1, 5.0, V=10_000)
Train = Callable[[Array, Array], float]  # one step; gives the loss


def character(bench: Bench) -> Iterator[Row]:
    for model in (SMALL, CHARACTERS):
        yield from compare(bench, model, list(english_text()))


def words(bench: Bench) -> Iterator[Row]:
    yield from compare(bench, WORDS, english_text().split())


def english_text() -> str:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return "\n".join(topics[key] for key in sorted(topics))


def batches(model: Model, text: list[str], count: int) -> tuple[Array, Array, int]:
    """Inputs and targets (count, T, B) from B contiguous streams through the text; size of the vocabulary. The rarest
    words become one where the vocabulary is smaller than the text's."""
    T, B = model.T, model.B
    names, tokens, counts = np.unique(np.array(text), return_inverse=True, return_counts=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    V = model.V or len(names)
    tokens = np.minimum(rank[tokens], V - 1)
    stream = (len(tokens) - 1) // B
    count = min(count, stream // T)
    index = np.arange(B) * stream + np.arange(count * T)[:, None]
    return tokens[index].reshape(count, T, B), tokens[index + 1].reshape(count, T, B), V


class Network(ur.Module):
    def __init__(self, model: Model, V: int) -> None:
        self.embedding = ur.Embedding(V, model.D)
        self.recurrent = ur.Stack(
            [ur.LSTM(model.H if layer else model.D, model.H) for layer in range(model.layers)]
        )
        self.output = ur.Linear(model.H, V)

    def forward(self, tokens: Array, state: Any) -> tuple[Any, Any]:
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.output(y), state


def unrolled_trainer(model: Model, V: int) -> Train:
    network = Network(model, V)
    into: dict[str, Any] = {"E": network.embedding.W, "W": network.output.W, "c": network.output.b}
    for layer, cell in enumerate(network.recurrent.cells):
        into |= dict(zip(model.cell(layer), (cell.W_ih, cell.W_hh, cell.b), strict=True))
    for name, array in model.parameters(V).items():
        into[name].data[...] = array
    parameters = network.parameters()
    optimizer = getattr(ur, model.optimizer)(parameters, lr=model.learning_rate)
    state: Any = None

    def step(x: Array, y: Array) -> float:
        nonlocal state
        logits, after = network(x, state)
        loss = ur.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        ur.clip_grad_norm(parameters, model.clip)
        optimizer.step()
        state = tuple(type(layer)(*(s.detach() for s in layer)) for layer in after)
        return float(loss.item())

    return step


def torch_trainer(model: Model, V: int) -> Train:
    torch: Any = importlib.import_module("torch")
    nn = torch.nn
    embedding, output = nn.Embedding(V, model.D), nn.Linear(model.H, V)
    recurrent = nn.LSTM(model.D, model.H, model.layers)
    into = {"E": embedding.weight, "W": output.weight, "c": output.bias}
    for layer in range(model.layers):
        theirs = [getattr(recurrent, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih")]
        into |= dict(zip(model.cell(layer), theirs, strict=True))
        second = getattr(recurrent, f"bias_hh_l{layer}")
        nn.init.zeros_(second)
        second.requires_grad_(False)
    with torch.no_grad():
        for name, array in model.parameters(V).items():
            into[name].copy_(torch.from_numpy(array))
    parameters = list(into.values())
    optimizer = getattr(torch.optim, model.optimizer)(parameters, lr=model.learning_rate)
    state: Any = None

    def step(x: Array, y: Array) -> float:
        nonlocal state
        h, after = recurrent(embedding(torch.from_numpy(x)), state)
        loss = nn.functional.cross_entropy(output(h).reshape(-1, V), torch.from_numpy(y).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, model.clip)
        optimizer.step()
        state = tuple(s.detach() for s in after)
        return float(loss.item())

    return step


def compare(bench: Bench, model: Model, text: list[str]) -> Iterator[Row]:
    """Trains every side on the same batches, in turns of BLOCK steps; the row's times are those of a step."""
    name = f"{model.layers}x{model.H}, T={model.T} B={model.B}"
    if not bench.wants(model.name, name):
        return
    x, y, V = batches(model, text, 20 if bench.quick else 150)
    sides = {OURS: unrolled_trainer(model, V)}
    if bench.peer("torch"):
        sides["torch"] = torch_trainer(model, V)
    losses: dict[str, list[float]] = {side: [] for side in sides}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    order = list(sides)
    for first in range(0, len(x), BLOCK):
        order.reverse()  # none always follows the same other
        for side in order:
            train = sides[side]
            settle()
            for i in range(first, min(first + BLOCK, len(x))):
                begin = time.perf_counter()
                losses[side].append(train(x[i], y[i]))
                seconds[side].append(time.perf_counter() - begin)
    row = Row(model.name, name, [Goal("torch", TARGET)])
    worst = max(float(np.abs(np.array(curve) - losses[OURS]).max()) for curve in losses.values())
    if worst < MOST_DIFFERENCE:
        row.times = {side: Times.of(values) for side, values in seconds.items()}
        rates = [f"{side} {model.T * model.B / t.median:,.0f} tokens/s" for side, t in row.times.items()]
        last = ", ".join(f"{curve[-1]:.4f}" for curve in losses.values())
        row.note = f"V={V}; {', '.join(rates)}; last losses {last} nats"
    else:
        row.failure = f"{model.name}: the losses differ by up to {worst:.3f} nats"
    yield row
