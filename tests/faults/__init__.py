"""The fault kit: all of EMP on loopback, faults that are injected and healed, and a checker of what is promised."""
