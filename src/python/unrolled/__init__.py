"""Recurrent networks on CPUs: train, port and serve, with NumPy arrays in and out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unrolled import init, ops
from unrolled._config import build_config, get_num_threads, set_num_threads
from unrolled._native import core as _core
from unrolled.cells import (
    CTRNN,
    GRU,
    GRUD,
    LSTM,
    LSTM1997,
    MGU,
    QRNN,
    RNN,
    SRU,
    BistableGRU,
    CoupledLSTM,
    FadingState,
    FullPeepholeLSTM,
    GRUResetBefore,
    GRUState,
    IndRNN,
    Jordan,
    JordanState,
    LayerNormGRU,
    LayerNormLSTM,
    LayerNormRNN,
    LeakyRNN,
    LSTMState,
    MinimalGRU,
    MinimalLSTM,
    MultiplicativeLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    QRNNState,
    Recurrent,
    RecurrentHighway,
    RNNState,
    SLSTMState,
    SRUState,
    sLSTM,
)
from unrolled.io import CheckpointError, load, save
from unrolled.layers import (
    Bidirectional,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Sequential,
    Stack,
    final_hidden,
)
from unrolled.module import Module
from unrolled.ops import (
    concat,
    dropout,
    exp,
    log,
    log_softmax,
    matmul,
    relu,
    sigmoid,
    softmax,
    split,
    stack,
    tanh,
    where,
)
from unrolled.tensor import Tensor, enable_grad, is_grad_enabled, no_grad

if TYPE_CHECKING:
    from unrolled import data, decode, diagnostics, models, optim, patterns, recipes, train
    from unrolled.data import CharVocabulary, WordVocabulary, one_hot
    from unrolled.io.torch import from_torch
    from unrolled.layers.grid_lstm import GridLSTM, GridLSTMState
    from unrolled.layers.highway_network import HighwayNetwork
    from unrolled.layers.multidimensional import DiagonalLSTM, MultiDimensionalLSTM, RowLSTM
    from unrolled.layers.multidirectional import MultiDirectional
    from unrolled.layers.pyramid import Pyramid, join_pairs
    from unrolled.layers.skip import Highway, Residual
    from unrolled.losses import binary_cross_entropy, cross_entropy, mean_squared_error
    from unrolled.optim import (
        SGD,
        Adagrad,
        Adam,
        AdamW,
        CosineLR,
        DivergenceError,
        ReduceLROnPlateau,
        RMSprop,
        StepLR,
        WarmupLR,
        clip_grad_norm,
        clip_grad_value,
    )
    from unrolled.train import Callback, History, Progress, evaluate, fit, predict

__version__: str = _core.build_config()["version"]

__all__ = [
    "CTRNN",
    "GRU",
    "GRUD",
    "LSTM",
    "LSTM1997",
    "MGU",
    "QRNN",
    "RNN",
    "SGD",
    "SRU",
    "Adagrad",
    "Adam",
    "AdamW",
    "Bidirectional",
    "BistableGRU",
    "Callback",
    "CharVocabulary",
    "CheckpointError",
    "CosineLR",
    "CoupledLSTM",
    "DiagonalLSTM",
    "DivergenceError",
    "Dropout",
    "Embedding",
    "FadingState",
    "FullPeepholeLSTM",
    "GRUResetBefore",
    "GRUState",
    "GridLSTM",
    "GridLSTMState",
    "Highway",
    "HighwayNetwork",
    "History",
    "IndRNN",
    "Jordan",
    "JordanState",
    "LSTMState",
    "LayerNorm",
    "LayerNormGRU",
    "LayerNormLSTM",
    "LayerNormRNN",
    "LeakyRNN",
    "Linear",
    "MinimalGRU",
    "MinimalLSTM",
    "Module",
    "MultiDimensionalLSTM",
    "MultiDirectional",
    "MultiplicativeLSTM",
    "PeepholeLSTM",
    "Progress",
    "ProjectedLSTM",
    "Pyramid",
    "QRNNState",
    "RMSprop",
    "RNNState",
    "Recurrent",
    "RecurrentHighway",
    "ReduceLROnPlateau",
    "Residual",
    "RowLSTM",
    "SLSTMState",
    "SRUState",
    "Sequential",
    "Stack",
    "StepLR",
    "Tensor",
    "WarmupLR",
    "WordVocabulary",
    "binary_cross_entropy",
    "build_config",
    "clip_grad_norm",
    "clip_grad_value",
    "concat",
    "cross_entropy",
    "data",
    "decode",
    "diagnostics",
    "dropout",
    "enable_grad",
    "evaluate",
    "exp",
    "final_hidden",
    "fit",
    "from_torch",
    "get_num_threads",
    "init",
    "is_grad_enabled",
    "join_pairs",
    "load",
    "log",
    "log_softmax",
    "matmul",
    "mean_squared_error",
    "models",
    "no_grad",
    "one_hot",
    "ops",
    "optim",
    "patterns",
    "predict",
    "recipes",
    "relu",
    "sLSTM",
    "save",
    "set_num_threads",
    "sigmoid",
    "softmax",
    "split",
    "stack",
    "tanh",
    "train",
    "where",
]

# What a service that only runs a model does not need is imported at first use: a module, and the names from it.
_FIRST_USE = {
    "data": ("CharVocabulary", "WordVocabulary", "data", "one_hot"),
    "decode": ("decode",),
    "diagnostics": ("diagnostics",),
    "io.torch": ("from_torch",),
    "layers.grid_lstm": ("GridLSTM", "GridLSTMState"),
    "layers.highway_network": ("HighwayNetwork",),
    "layers.multidimensional": ("DiagonalLSTM", "MultiDimensionalLSTM", "RowLSTM"),
    "layers.multidirectional": ("MultiDirectional",),
    "layers.pyramid": ("Pyramid", "join_pairs"),
    "layers.skip": ("Highway", "Residual"),
    "losses": ("binary_cross_entropy", "cross_entropy", "mean_squared_error"),
    "models": ("models",),
    "optim": (
        "SGD",
        "Adagrad",
        "Adam",
        "AdamW",
        "CosineLR",
        "DivergenceError",
        "ReduceLROnPlateau",
        "RMSprop",
        "StepLR",
        "WarmupLR",
        "clip_grad_norm",
        "clip_grad_value",
        "optim",
    ),
    "patterns": ("patterns",),
    "recipes": ("recipes",),
    "train": ("Callback", "History", "Progress", "evaluate", "fit", "predict", "train"),
}
_LAZY = {name: f"unrolled.{module}" for module, names in _FIRST_USE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'unrolled' has no attribute {name!r}")
    module = import_module(_LAZY[name])
    value = module if module.__name__ == f"unrolled.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
