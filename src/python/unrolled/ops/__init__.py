"""Differentiable functions of tensors. Every function takes tensors, arrays or numbers, and gives tensors."""

import sys as _sys

from unrolled import operators as _operators
from unrolled.ops.arithmetic import absolute as absolute
from unrolled.ops.arithmetic import add as add
from unrolled.ops.arithmetic import astype as astype
from unrolled.ops.arithmetic import clip as clip
from unrolled.ops.arithmetic import divide as divide
from unrolled.ops.arithmetic import log as log
from unrolled.ops.arithmetic import maximum as maximum
from unrolled.ops.arithmetic import minimum as minimum
from unrolled.ops.arithmetic import multiply as multiply
from unrolled.ops.arithmetic import negative as negative
from unrolled.ops.arithmetic import power as power
from unrolled.ops.arithmetic import sqrt as sqrt
from unrolled.ops.arithmetic import square as square
from unrolled.ops.arithmetic import subtract as subtract
from unrolled.ops.arithmetic import where as where
from unrolled.ops.native import apply as apply
from unrolled.ops.native import dropout as dropout
from unrolled.ops.native import embedding as embedding
from unrolled.ops.native import exp as exp
from unrolled.ops.native import layer_norm as layer_norm
from unrolled.ops.native import linear as linear
from unrolled.ops.native import log_softmax as log_softmax
from unrolled.ops.native import matmul as matmul
from unrolled.ops.native import relu as relu
from unrolled.ops.native import sigmoid as sigmoid
from unrolled.ops.native import softmax as softmax
from unrolled.ops.native import tanh as tanh
from unrolled.ops.reduce import max as max
from unrolled.ops.reduce import mean as mean
from unrolled.ops.reduce import min as min
from unrolled.ops.reduce import sum as sum
from unrolled.ops.reduce import var as var
from unrolled.ops.shape import broadcast_to as broadcast_to
from unrolled.ops.shape import concat as concat
from unrolled.ops.shape import getitem as getitem
from unrolled.ops.shape import reshape as reshape
from unrolled.ops.shape import split as split
from unrolled.ops.shape import squeeze as squeeze
from unrolled.ops.shape import stack as stack
from unrolled.ops.shape import swapaxes as swapaxes
from unrolled.ops.shape import take_along_axis as take_along_axis
from unrolled.ops.shape import transpose as transpose
from unrolled.ops.shape import unsqueeze as unsqueeze
from unrolled.ops.shape import unstack as unstack
from unrolled.tensor import as_tensor as as_tensor

_operators.__dict__["ops"] = _sys.modules[__name__]
