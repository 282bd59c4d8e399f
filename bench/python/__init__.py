"""Speed of unrolled beside its peers, in one process: `python -m bench.python -h`."""
