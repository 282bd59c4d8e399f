"""Optimizers, gradient clipping, learning-rate schedules."""

from unrolled.optim.adam import Adam, AdamW
from unrolled.optim.base import Optimizer
from unrolled.optim.clip import DivergenceError, clip_grad_norm, clip_grad_value
from unrolled.optim.rmsprop import Adagrad, RMSprop
from unrolled.optim.schedules import CosineLR, ReduceLROnPlateau, Schedule, StepLR, WarmupLR
from unrolled.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineLR",
    "DivergenceError",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "WarmupLR",
    "clip_grad_norm",
    "clip_grad_value",
]
