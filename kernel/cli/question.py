"""Asks on the terminal before something is done that cannot be undone."""

import typer

from kernel.cli.output import tell

INTERRUPTED = 130
"""The exit status of a program that Ctrl-C has ended."""


def is_confirmed(question: str) -> bool:
    """The answer, no being the one when nothing is typed; typer.Exit(130) at Ctrl-C, said in a line."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as unanswered:
        tell("")  # the question's own line ends here
        if was_interrupted(unanswered):
            tell("stopped: nothing has changed")
            raise typer.Exit(INTERRUPTED) from None
        return False


def was_interrupted(unanswered: typer.Abort) -> bool:
    """Whether Ctrl-C, and not the end of the input, was the answer to a question."""
    return isinstance(unanswered.__context__, KeyboardInterrupt)
