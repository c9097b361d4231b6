"""Pings to outside services that raise the alarm when they stop."""
