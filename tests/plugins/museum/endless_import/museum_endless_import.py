"""Never comes to the end of its import, and keeps the interpreter lock meanwhile."""

import ctypes

while True:
    ctypes.PyDLL(None).pause()
