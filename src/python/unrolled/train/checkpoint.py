"""A training run in one file: a model that `ur.load` reads, and beside it all that the next step depends on.

Parameters under their own names are those to use: the best of all validations so far, without validation the
present ones. Where the present ones differ, they are under "@training/parameters/". Everything else is a tree
in the document, its arrays under "@training/run/".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unrolled.io.file import CheckpointError, StrPath, read, write
from unrolled.io.model import describe, restore, weights
from unrolled.io.trees import put_together, take_apart
from unrolled.optim import DivergenceError
from unrolled.train.generators import generators, get_state, set_state
from unrolled.train.history import History
from unrolled.train.run import Callback, Run, Totals

_PARAMETERS = "@training/parameters/"
_RUN = "@training/run"


def check_place(path: StrPath) -> None:
    """Raises CheckpointError at the start of a run that could not be saved at its end."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise CheckpointError(f"cannot write {os.fspath(path)}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"cannot write {os.fspath(path)}: the folder {folder} is read-only")
    if os.path.isdir(path):
        raise CheckpointError(f"cannot write {os.fspath(path)}: it is a folder")


def save_run(run: Run, path: StrPath) -> None:
    """Replaces the file at `path`. Parameters that are not finite are never saved: DivergenceError."""
    if not run.parameters_are_finite():
        raise DivergenceError(
            f"fit: a parameter is not finite after step {run.step}; {path} is left as it was"
        )
    present = {name: tensor._data for name, tensor in run.model.parameters().items()}
    arrays = dict(present if run.best_parameters is None else run.best_parameters)
    if run.best_parameters is not None:
        arrays |= {_PARAMETERS + name: array for name, array in present.items()}
    state = take_apart(_state(run), _RUN, arrays)
    write(path, arrays, {"model": describe(run.model, run.made, arrays)[0], "training": state})


def restore_run(run: Run, path: StrPath) -> None:
    """Puts a run where the saved one was. Raises CheckpointError if the file is of another model or another
    set-up.
    """
    arrays, document = read(path)
    if "training" not in document:
        raise CheckpointError(f"{path} holds no training run; it cannot be resumed")
    if document["model"]["config"] != run.model.config():
        raise CheckpointError(
            f"{path} is of a model with another configuration: "
            f"{_difference(document['model']['config'], run.model.config())}"
        )
    classes = {m.State.__name__: m.State for m in run.model.modules().values() if hasattr(m, "State")}
    best = weights(arrays)
    present = {n.removeprefix(_PARAMETERS): a for n, a in arrays.items() if n.startswith(_PARAMETERS)}
    try:
        state = put_together(document["training"], arrays, classes)
        restore(run.model, run.made, document["model"], arrays)
        _load_state(run, state)
        run.model.load_parameters(present or best)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit this training run: {error}") from error
    run.best_parameters = best if present else None


def _difference(saved: Any, here: Any, where: str = "model") -> str:
    """The first place where two configurations differ."""
    if isinstance(saved, dict) and isinstance(here, dict):
        for key in [*saved, *here]:
            if saved.get(key) != here.get(key):
                if key == "@class":
                    where = here.get("@class", where)
                elif key != "arguments":  # whose names follow that of the class
                    where = f"{where}.{key}"
                return _difference(saved.get(key), here.get(key), where)
    texts = [text if len(text) <= 60 else f"{text[:57]}..." for text in (repr(saved), repr(here))]
    return f"{where} is {texts[0]} there, {texts[1]} here"


def _load_modules(run: Run, states: dict[str, Any]) -> None:
    stateful = dict(_stateful(run))
    for name, module in stateful.items():
        module.load_state_dict(states[name])
    there: dict[str, Any] = {**run.model.modules()}
    for name in states.keys() - stateful.keys():  # of a file of an earlier version: what masks depend on
        there[name].seed, there[name].counter = states[name]["seed"], states[name]["counter"]


def _stateful(run: Run) -> Iterator[tuple[str, Any]]:
    """Modules that have a state beside their parameters, such as the counter of a Dropout."""
    for name, module in run.model.modules().items():
        if hasattr(module, "state_dict"):
            yield name, module


def _state(run: Run) -> dict[str, Any]:
    return {
        "epoch": run.epoch,
        "step": run.step,
        "batch": run.batch,
        "carried": run.carried,
        "totals": asdict(run.totals),
        "history": run.history.rows,
        "best_loss": run.best_loss,
        "epochs_without_gain": run.epochs_without_gain,
        "optimizer": run.optimizer.state_dict(),
        "schedules": [{"class": type(s).__name__, "state": s.state_dict()} for s in run.schedules],
        "data": run.data_state,
        "modules": {name: module.state_dict() for name, module in _stateful(run)},
        "generators": {name: get_state(g) for name, g in generators(run.model).items()},
        "callbacks": [c.state_dict() if isinstance(c, Callback) else {} for c in run.callbacks],
    }


def _load_state(run: Run, state: dict[str, Any]) -> None:
    kinds = [saved["class"] for saved in state["schedules"]]
    here = [type(schedule).__name__ for schedule in run.schedules]
    if kinds != here:
        raise ValueError(f"the schedules are {kinds} there, {here} here")
    if len(state["callbacks"]) != len(run.callbacks):
        raise ValueError(f"there were {len(state['callbacks'])} callbacks, here are {len(run.callbacks)}")
    sources = generators(run.model)
    if sources.keys() != state["generators"].keys():
        raise ValueError(f"the random generators are {list(state['generators'])} there, {list(sources)} here")
    if (state["data"] is None) == hasattr(run.data, "state_dict"):
        raise ValueError("the data were of another kind")
    run.optimizer.load_state_dict(state["optimizer"])
    for schedule, saved in zip(run.schedules, state["schedules"], strict=True):
        schedule.load_state_dict(saved["state"])
    if state["data"] is not None:
        run.data.load_state_dict(state["data"])
        run.data_state = state["data"]
    _load_modules(run, state["modules"])
    for name, generator in sources.items():
        set_state(generator, state["generators"][name])
    for callback, saved in zip(run.callbacks, state["callbacks"], strict=True):
        if isinstance(callback, Callback):
            callback.load_state_dict(saved)
    run.epoch, run.step, run.batch = state["epoch"], state["step"], state["batch"]
    run.carried, run.totals = state["carried"], Totals(**state["totals"])
    run.history = History(state["history"])
    run.best_loss, run.epochs_without_gain = state["best_loss"], state["epochs_without_gain"]
