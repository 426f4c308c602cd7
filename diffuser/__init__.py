"""Diffuser: a laboratory for generative image models."""

from diffuser.weights import load, names

__all__ = ["load", "names"]
