"""The message about a failed run: complete, short, and proof against what foreign names and texts hold."""

from __future__ import annotations

import html

import pytest

from orbitory.notices import MOST_ERRORS, Story, compose, readable, untold

HOSTILE = "{{7*7}}<script>alert(1)</script>\r\nBcc: spy@example.org\u202egnp.exe\x1b[31m\udcff"


def story(errors: int = 1, name: str = "bad.h5", detail: str = "empty") -> Story:
    rows = [
        {"name": name, "reason": "size", "stage": "verify", "detail": detail} for _ in range(min(errors, MOST_ERRORS))
    ]
    return Story(
        source="idps",
        verdict="run 7: 98 detected",
        link="http://127.0.0.1:8080/dags/ingest_idps/runs/manual__2026%2B00",
        run=7,
        counts={"archived": 96, "rejected": errors, "stored": 3},
        reasons={"size": errors},
        errors=rows,
    )


@pytest.mark.req("W8")
def test_the_message_has_the_counts_the_reasons_the_errors_and_the_link() -> None:
    notice = compose(story(errors=2))
    assert notice.subject == "[Orbitory] ingest of idps failed: 96 archived, 2 rejected, 3 unfinished"
    for form in (notice.text, html.unescape(notice.html)):
        for expected in (
            "run 7",
            "96",
            "empty, or not the announced size",
            "bad.h5",
            "verify",
            "/runs/manual__2026%2B00",
        ):
            assert expected in form


@pytest.mark.req("W8")
def test_of_ten_thousand_errors_the_first_twenty_are_told() -> None:
    notice = compose(story(errors=10_000))
    assert notice.text.count("bad.h5") == notice.html.count("bad.h5") == MOST_ERRORS
    assert "10,000" in notice.text and "The first 20 of the files" in notice.html
    assert len(notice.html) < 20_000


def test_a_hostile_name_is_shown_and_does_nothing() -> None:
    notice = compose(story(name=HOSTILE, detail=HOSTILE))
    assert "<script>" not in notice.html and "&lt;script&gt;" in notice.html
    assert "{{7*7}}" in notice.html and "49" not in notice.html
    for form in (notice.text, notice.html):
        assert "\\r\\nBcc: spy@example.org" in form and "\nBcc" not in form
        assert not {"\r", "\x1b", "\u202e", "\udcff"} & set(form)
        form.encode()


def test_the_subject_is_one_line_of_ascii_whatever_the_verdict_says() -> None:
    notice = compose(untold(source="idps", verdict=HOSTILE, link="http://x/"))
    assert notice.subject == "[Orbitory] ingest of idps failed: no files were counted"
    assert notice.subject.isascii() and notice.subject.isprintable()
    assert "spy@example.org" in notice.text


def test_a_long_text_is_cut_and_says_so() -> None:
    assert readable("x" * 300) == "x" * 300
    assert readable("x" * 301) == "x" * 300 + " …"
    assert len(readable("\n" * 5000)) <= 302
