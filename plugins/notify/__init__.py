"""Notices for people: by log, webhook, e-mail."""
