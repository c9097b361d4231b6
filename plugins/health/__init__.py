"""Health of jobs: when each last succeeded, how long it takes, and whether it is late."""
