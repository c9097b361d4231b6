"""Fits tables of styled text into so many columns and rows."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP = "  "
_WITHOUT_LIMIT = 10
"""How many rows of a table are shown where no terminal says how many there is room for."""


class Span(NamedTuple):
    text: str
    style: str = ""


Line = list[Span]


class Column(NamedTuple):
    """``least``: it is made no narrower. ``rank``: the highest goes first where there is no room; 0 stays."""

    title: str
    least: int
    rank: int = 0
    is_number: bool = False


class Table(NamedTuple):
    """``empty``: what is said where there are no rows; a table that has nothing to say then is left out."""

    columns: Sequence[Column]
    rows: list[list[Span]]
    empty: str = ""


def body_of(tables: Sequence[Table], columns: int | None, room: int | None) -> Iterable[Line]:
    """The tables one below the other, in ``room`` rows; where there is plenty of it, with a blank line before each."""
    shown = [_WITHOUT_LIMIT if table.rows else 0 for table in tables]
    has_gaps = True
    if room is not None:
        has_gaps = room >= sum(2 + min(len(table.rows), 2) for table in tables)
        shown = _shares(tables, room - has_gaps * len(tables))
    for table, count in zip(tables, shown, strict=True):
        if count < 0:
            continue
        if has_gaps:
            yield []
        yield from _lines_of(table, count, columns)


def _shares(tables: Sequence[Table], room: int) -> list[int]:
    """How many rows each table gets; -1 where there is no room for its title.

    One each in order, then more, twice as many for the first two.
    """
    shown = [-1] * len(tables)
    for at, table in enumerate(tables):
        needed = 2 if table.rows else 1
        if room < needed:
            break
        shown[at] = needed - 1
        room -= needed
    open_ones = [at for at, count in enumerate(shown) if count > 0]
    for at in cycle(open_ones):
        if room <= 0 or all(shown[one] >= len(tables[one].rows) for one in open_ones):
            break
        more = min(2 if at < 2 else 1, room, len(tables[at].rows) - shown[at])
        shown[at] += more
        room -= more
    return shown


def _lines_of(table: Table, count: int, columns: int | None) -> Iterable[Line]:
    if not table.rows:
        yield [Span(table.columns[0].title, "bold"), Span(_GAP), Span(table.empty, "dim")]
        return
    rows = table.rows[:count]
    kept, widths = _fitted(table, rows, columns)
    title = _laid([Span(table.columns[at].title, "bold") for at in kept], table, kept, widths)
    left = len(table.rows) - len(rows)
    if left > 0:
        more = f"{left:,} more"
        if columns is None:
            title = [*title, Span(f"{_GAP}{more}", "dim")]
        else:
            title = cut(title, columns - len(more) - len(_GAP))
            title = [*title, Span(" " * (columns - len(more) - width_of(title))), Span(more, "dim")]
    yield title
    for row in rows:
        yield _laid([row[at] for at in kept], table, kept, widths)


def _fitted(table: Table, rows: list[list[Span]], columns: int | None) -> tuple[list[int], list[int]]:
    """Which columns there is room for, and how wide they are: texts at the end give way first, then whole columns."""
    kept = list(range(len(table.columns)))
    while True:
        widths = [max(cell_len(table.columns[at].title), *(cell_len(row[at].text) for row in rows)) for at in kept]
        over = 0 if columns is None else sum(widths) + len(_GAP) * (len(kept) - 1) - columns
        for place in reversed(range(len(kept))):
            column = table.columns[kept[place]]
            if over > 0 and not column.is_number and widths[place] > column.least:
                less = min(over, widths[place] - column.least)
                widths[place] -= less
                over -= less
        droppable = [at for at in kept if table.columns[at].rank]
        if over <= 0 or not droppable:
            return kept, widths
        kept.remove(max(droppable, key=lambda at: table.columns[at].rank))


def _laid(cells: Sequence[Span], table: Table, kept: Sequence[int], widths: Sequence[int]) -> Line:
    line: Line = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        is_last = place == len(cells) - 1
        if place:
            line.append(Span(_GAP))
        text = _shortened(cell.text, width)
        pad = " " * (width - cell_len(text))
        if table.columns[kept[place]].is_number:
            line += [Span(pad), Span(text, cell.style)]
        else:
            line += [Span(text, cell.style), *([] if is_last else [Span(pad)])]
    return line


def cut(line: Line, columns: int | None) -> Line:
    if columns is None or width_of(line) <= columns:
        return line
    kept: Line = []
    for span in line:
        room = columns - width_of(kept)
        if room <= 0:
            break
        kept.append(Span(_shortened(span.text, room), span.style))
    return kept


def _shortened(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def width_of(line: Line) -> int:
    return sum(cell_len(span.text) for span in line)
