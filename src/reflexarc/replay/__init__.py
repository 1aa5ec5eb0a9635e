"""Asking another brain what a robot was asked before, and both accounts side by side."""
