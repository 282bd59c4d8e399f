"""Recurrent cells: one class each, with equations, names and initial values. The kernels do the arithmetic."""

from unrolled.cells.base import Recurrent as Recurrent
from unrolled.cells.gru import GRU as GRU
from unrolled.cells.gru import GRUResetBefore as GRUResetBefore
from unrolled.cells.gru import GRUState as GRUState
from unrolled.cells.lstm import LSTM as LSTM
from unrolled.cells.lstm import LSTMState as LSTMState
from unrolled.cells.lstm_variants import CoupledLSTM as CoupledLSTM
from unrolled.cells.lstm_variants import PeepholeLSTM as PeepholeLSTM
from unrolled.cells.rnn import RNN as RNN
from unrolled.cells.rnn import RNNState as RNNState
