"""Metrics of the kernel for Prometheus."""
