"""Training and evaluation of models."""

from unrolled.train.evaluation import evaluate, predict
from unrolled.train.fitting import fit
from unrolled.train.history import History
from unrolled.train.progress import Progress
from unrolled.train.run import Callback, Run

__all__ = ["Callback", "History", "Progress", "Run", "evaluate", "fit", "predict"]
