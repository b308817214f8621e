"""Ends the interpreter in the polite way."""

import sys

sys.exit("no licence found")
