"""The filters that make HTML of text."""

from __future__ import annotations

import pytest

from plugins.web.wording import marked, parts


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("fleet.weekly_report", "fleet.<wbr>weekly_<wbr>report"),
        ("__a..b_", "__<wbr>a..<wbr>b_"),
        ("plain-name", "plain-name"),
        ("", ""),
        ("<b>.x & y", "&lt;b&gt;.<wbr>x &amp; y"),
        ("two\nlines.x", "two\nlines.<wbr>x"),
    ],
)
def test_a_name_may_be_broken_after_its_dots_and_underscores(name: str, shown: str) -> None:
    assert parts(name) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("with ``force`` or `not`", "with <code>force</code> or <code>not</code>"),
        ("in ``sqlite:///<path>``", "in <code>sqlite:///&lt;path&gt;</code>"),
        (":class:`Job` & :py:meth:`run`", "<code>Job</code> &amp; <code>run</code>"),
        ("cut ``of", "cut ``of"),
        ("<code>``</code>", "&lt;code&gt;``&lt;/code&gt;"),
        ("", ""),
    ],
)
def test_marks_of_code_become_code_and_nothing_else_becomes_html(text: str, shown: str) -> None:
    assert marked(text) == shown
