"""Recurrent networks on CPUs: train, port and serve, with NumPy arrays in and out."""
