"""What a remote says of itself: no name looks like another, and no remark ends its quotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sra.admin.guard.claims import shown_account, shown_remark
from sra.errors import ProtocolError

QUOTES = "\"'`´‘’‚‛“”„‟‹›«»′″‵‶〝〞〟「」『』＂＇\u02b9\u02ba\u02bc\u055a\u05f3\u05f4\u275b\u275c\u275d\u275e\u2e42"


@pytest.mark.parametrize("name", ["jdoe", "jdoe@agency.gov", "AGENCY\\jdoe", "svc$", "j.doe-1", "a+b", "Ann"])
def test_names_that_directories_have_are_shown_as_they_are(name: str) -> None:
    assert shown_account(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [("\u0430lice", r"\u0430lice"), ("alic\u0435", r"alic\u0435"), ("jürgen", r"j\xfcrgen"), ("ο", r"\u03bf"),
     ("\U00010330ann", r"\U00010330ann")],
)  # fmt: skip
def test_letters_that_look_like_others_are_shown_by_their_numbers(name: str, shown: str) -> None:
    assert shown_account(name) == shown


@pytest.mark.parametrize(
    "name",
    ["", "\u3164", "a\u3164", "\u1160", "\uffa0", "\u2800", "a\u200db", "a\u034fb", "ann\ufe0f", "ａnn", "ﬁ", "ann ",
     "a b", "ann\u00a0", "e\u0301", "ann)", "ann,", "\u202enna", "“ann”", "x" * 65, "ann\n", "ann/", "Ⅳ"],
)  # fmt: skip
def test_what_could_be_taken_for_nothing_or_for_another_is_no_name(name: str) -> None:
    with pytest.raises(ProtocolError, match="no account"):
        shown_account(name)


@given(st.text(max_size=70))
def test_whatever_is_shown_is_ascii_without_blanks_and_quotes(text: str) -> None:
    try:
        shown = shown_account(text)
    except ProtocolError:
        return
    assert shown.isascii()
    assert shown.isprintable()
    assert not set(shown) & set(" \"'`()[]<>,:;“”")
    assert shown == text or not text.isascii()


@given(st.text(max_size=300))
def test_nothing_in_a_remark_ends_its_quotation(text: str) -> None:
    shown = shown_remark(text + QUOTES)
    assert shown.isascii()
    assert shown.isprintable()
    assert not set(shown) & set(QUOTES)
    assert shown_remark(shown) == shown


def test_an_ordinary_remark_is_shown_as_it_is() -> None:
    assert shown_remark("su for alice (pts/3)") == "su for alice (pts/3)"
    assert shown_remark("\u3164“ok” \u0430") == r"\u3164\u201cok\u201d \u0430"
