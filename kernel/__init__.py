"""Mainspring's kernel: what plugins and embedding programs import."""
