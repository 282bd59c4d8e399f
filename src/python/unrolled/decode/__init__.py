"""From scores to tokens: greedy choice and sampling."""

from unrolled.decode.sampling import Sampler, greedy, sampling_probabilities

__all__ = ["Sampler", "greedy", "sampling_probabilities"]
