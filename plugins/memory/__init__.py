"""Keeps runs and schedules in the memory of this process, for ``memory://``: fast, and gone when the kernel ends."""
