"""A view into training: where gradients vanish or explode, which gates are stuck, which terms a gradient is made of.

    with ur.diagnostics.watch(model) as seen:
        ur.cross_entropy(model(x), targets).backward()
    trace = seen["lstm"]                           # the layer of this name; `seen.trace` if there is one only
    trace.gradients()["h"]                         # dL/dh[t], (T, B, H)
    ur.diagnostics.plot_gradient_norms({"LSTM": trace}).savefig("norms.png")

A model is watched without being changed: the same calls give the same bits. What is asked of a trace is computed when
asked for, step by step on a copy of the cell as it was.
"""

from unrolled.diagnostics.gates import Gate, GateValues, Saturation, gate_values, register_gates, saturation
from unrolled.diagnostics.jacobians import jacobian_bound, jacobian_norms, step_jacobian
from unrolled.diagnostics.outputs import register_output
from unrolled.diagnostics.plots import (
    plot_gradient_norms,
    plot_jacobian_norms,
    plot_saturation,
    plot_spectrum,
    plot_terms,
    plot_vanishing_gradient,
)
from unrolled.diagnostics.spectrum import Spectrum, spectrum
from unrolled.diagnostics.terms import TermNorms, gradient_terms, term_norms
from unrolled.diagnostics.trace import Trace
from unrolled.diagnostics.vanishing import VanishingGradient, vanishing_gradient
from unrolled.diagnostics.watching import Watch, watch

__all__ = [
    "Gate",
    "GateValues",
    "Saturation",
    "Spectrum",
    "TermNorms",
    "Trace",
    "VanishingGradient",
    "Watch",
    "gate_values",
    "gradient_terms",
    "jacobian_bound",
    "jacobian_norms",
    "plot_gradient_norms",
    "plot_jacobian_norms",
    "plot_saturation",
    "plot_spectrum",
    "plot_terms",
    "plot_vanishing_gradient",
    "register_gates",
    "register_output",
    "saturation",
    "spectrum",
    "step_jacobian",
    "term_norms",
    "vanishing_gradient",
    "watch",
]
