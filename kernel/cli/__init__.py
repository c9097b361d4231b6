"""The command line: one file a group of commands. What is slow to import is imported where it is used: `--help` is quick."""
