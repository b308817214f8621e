"""The monitor: pages that say at a glance whether EMP works, what waits and why, what failed, and who holds what."""
