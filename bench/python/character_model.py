"""A character language model trained by unrolled and by PyTorch: same text, batches, weights and optimizer.

Embedding (V, D), LSTM (D, H), linear (H, V); cross entropy; truncated back-propagation with carried state;
gradients clipped to norm 1; Adam. PyTorch's second bias is frozen at zero: both train the same parameters.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import unrolled as ur

from .timing import QUIET_SECONDS, Times
from .workloads import Array, DisagreementError

T, B, D, H = 64, 32, 64, 256
LEARNING_RATE = 2e-3
BLOCK = 5  # training steps per turn


@dataclass
class Outcome:
    """Times are seconds per training step."""

    times: dict[str, Times]
    losses: dict[str, list[float]]
    tokens: int  # per training step


def english_text() -> str:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return "\n".join(topics[key] for key in sorted(topics))


def batches(text: str, count: int) -> tuple[Array, Array, int]:
    """Inputs and targets (count, T, B) from B contiguous streams through the text; size of the alphabet."""
    alphabet, tokens = np.unique(np.array(list(text)), return_inverse=True)
    stream = (len(tokens) - 1) // B
    count = min(count, stream // T)
    starts = np.arange(B) * stream
    index = starts + np.arange(count * T)[:, None]
    x, y = tokens[index].astype(np.int64), tokens[index + 1].astype(np.int64)
    return x.reshape(count, T, B), y.reshape(count, T, B), len(alphabet)


def initial_parameters(V: int) -> dict[str, Array]:
    rng = np.random.default_rng(0)
    shapes = {"E": (V, D), "W_ih": (4 * H, D), "W_hh": (4 * H, H), "b": (4 * H,), "W": (V, H), "c": (V,)}
    return {n: rng.uniform(-(H**-0.5), H**-0.5, s).astype(np.float32) for n, s in shapes.items()}


class LanguageModel(ur.Module):
    def __init__(self, V: int) -> None:
        self.embedding = ur.Embedding(V, D)
        self.recurrent = ur.LSTM(D, H)
        self.output = ur.Linear(H, V)

    def forward(self, tokens: Array, state: Any) -> tuple[Any, Any]:
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.output(y), state


def unrolled_trainer(V: int) -> Callable[[Array, Array], float]:
    model = LanguageModel(V)
    start = initial_parameters(V)
    into: dict[str, Any] = {
        "E": model.embedding.W, "W_ih": model.recurrent.W_ih, "W_hh": model.recurrent.W_hh,
        "b": model.recurrent.b, "W": model.output.W, "c": model.output.b,
    }  # fmt: skip
    for name, parameter in into.items():
        parameter.data[...] = start[name]
    parameters = model.parameters()
    optimizer = ur.Adam(parameters, lr=LEARNING_RATE)
    state: Any = None

    def step(x: Array, y: Array) -> float:
        nonlocal state
        logits, after = model(x, state)
        loss = ur.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        ur.clip_grad_norm(parameters, 1.0)
        optimizer.step()
        state = type(after)(*(s.detach() for s in after))
        return float(loss.item())

    return step


def torch_trainer(V: int) -> Callable[[Array, Array], float]:
    torch: Any = importlib.import_module("torch")
    nn = torch.nn
    embedding, recurrent, output = nn.Embedding(V, D), nn.LSTM(D, H), nn.Linear(H, V)
    start = {name: torch.from_numpy(a) for name, a in initial_parameters(V).items()}
    with torch.no_grad():
        for name, parameter in {
            "E": embedding.weight, "W_ih": recurrent.weight_ih_l0, "W_hh": recurrent.weight_hh_l0,
            "b": recurrent.bias_ih_l0, "W": output.weight, "c": output.bias,
        }.items():  # fmt: skip
            parameter.copy_(start[name])
        recurrent.bias_hh_l0.zero_()
    recurrent.bias_hh_l0.requires_grad_(False)
    parameters = [
        p for layer in (embedding, recurrent, output) for p in layer.parameters() if p.requires_grad
    ]
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    state: Any = None

    def step(x: Array, y: Array) -> float:
        nonlocal state
        h, after = recurrent(embedding(torch.from_numpy(x)), state)
        loss = nn.functional.cross_entropy(output(h).reshape(-1, V), torch.from_numpy(y).reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        state = tuple(s.detach() for s in after)
        return float(loss.item())

    return step


def compare(peers: list[str], steps: int) -> Outcome:
    """Trains every side for `steps` batches, in turns of BLOCK steps, and compares the loss curves."""
    x, y, V = batches(english_text(), steps)
    sides = {"unrolled": unrolled_trainer(V)}
    if "torch" in peers:
        sides["torch"] = torch_trainer(V)
    losses: dict[str, list[float]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for first in range(0, len(x), BLOCK):
        for name, train in sides.items():
            time.sleep(QUIET_SECONDS)
            for i in range(first, min(first + BLOCK, len(x))):
                begin = time.perf_counter()
                losses[name].append(train(x[i], y[i]))
                seconds[name].append(time.perf_counter() - begin)
    for name, curve in losses.items():
        worst = float(np.abs(np.array(curve) - losses["unrolled"]).max())
        # The same training in float32: rounding is amplified, but stays far below the fall of the loss.
        if not worst < 0.02:
            raise DisagreementError(f"character model: the loss of {name} differs by {worst:.3f} nats")
    times = {}
    for name, values in seconds.items():
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
        times[name] = Times(float(median), float(low), float(high), len(values))
    return Outcome(times, losses, T * B)
