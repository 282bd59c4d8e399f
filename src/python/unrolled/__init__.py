"""Recurrent networks on CPUs: train, port and serve, with NumPy arrays in and out."""

from unrolled import data, decode, init, models, ops, optim
from unrolled._config import build_config, get_num_threads, set_num_threads
from unrolled._native import core as _core
from unrolled.cells import GRU, LSTM, RNN, GRUResetBefore, GRUState, LSTMState, Recurrent, RNNState
from unrolled.data import CharVocabulary, WordVocabulary, one_hot
from unrolled.io import CheckpointError, from_torch, load, save
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
from unrolled.losses import binary_cross_entropy, cross_entropy, mean_squared_error
from unrolled.module import Module
from unrolled.ops import concat, dropout, exp, log, log_softmax, matmul, relu, sigmoid, softmax, split, stack, tanh, where
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
from unrolled.tensor import Tensor, enable_grad, is_grad_enabled, no_grad
from unrolled.train import Callback, History, Progress, evaluate, fit, predict

__version__: str = _core.build_config()["version"]

__all__ = [name for name in dir() if not name.startswith("_")]
