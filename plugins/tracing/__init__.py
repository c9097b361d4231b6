"""Spans of enqueues and attempts for OpenTelemetry."""
