"""The command line: one file a group of commands. What is slow to import waits for its use: `--help` is quick."""
