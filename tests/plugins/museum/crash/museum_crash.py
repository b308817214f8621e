"""Crashes the interpreter, as a broken extension module does."""

import ctypes

ctypes.string_at(0)
