from sra.remote.logins import marks

HEAD = "Written by a test"


def test_a_signed_text_is_recognised_until_it_is_edited() -> None:
    text = marks.signed(HEAD, "one\ntwo\n")
    assert marks.is_as_signed(HEAD, text)
    for edited in (text + "three\n", text.replace("two", "2"), text.replace("[", "")):
        assert marks.is_signed(HEAD, edited)
        assert not marks.is_as_signed(HEAD, edited)
        assert marks.is_edited(HEAD, edited)


def test_another_text_is_not_ours() -> None:
    for text in ("", "one\n", marks.signed("Written by others", "one\n")):
        assert not marks.is_signed(HEAD, text)
        assert not marks.is_as_signed(HEAD, text)
        assert not marks.is_edited(HEAD, text)
