"""Diffuser: a laboratory for generative image models."""
