"""The other side of executors: makes attempts in a process that is not the kernel's.

``perform`` is for the executors of plugins; ``__main__`` is the program of the kernel's own workers.
"""

from kernel.worker.performer import perform

__all__ = ["perform"]
