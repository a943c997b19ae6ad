from sra.remote.logins import mapping

SHA256_OF_A = "CA:97:81:12:CA:1B:BD:CA:FA:C2:31:B3:9A:23:DC:4D:A7:86:EF:F8:14:7C:4E:72:B9:80:77:85:AF:EE:48:BB"


def test_a_certificate_is_known_by_its_digest() -> None:
    text = mapping.text_of({b"a": "ann", b"b": "bob"}).decode()
    assert f"\n{SHA256_OF_A} -> ann\n" in text
    assert [mapping.account_of(text, each) for each in (b"a", b"b", b"c")] == ["ann", "bob", ""]
    assert mapping.accounts_in(text) == {"ann", "bob"}


def test_the_file_is_never_empty_since_that_crashes_the_login() -> None:
    text = mapping.text_of({}).decode()
    assert text.startswith("# ")
    assert mapping.accounts_in(text) == frozenset()


def test_the_same_cards_make_the_same_file() -> None:
    assert mapping.text_of({b"a": "x", b"b": "y"}) == mapping.text_of({b"b": "y", b"a": "x"})


def test_an_accounts_lines_are_taken_away_without_reading_a_certificate() -> None:
    text = mapping.text_of({b"a": "ann", b"b": "bob", b"c": "ann"}).decode()
    assert mapping.without(text, "ann") == mapping.text_of({b"b": "bob"})
    assert mapping.without(text, "an") == text.encode()


def test_an_account_whose_name_could_be_another_line_gets_none() -> None:
    """A directory's word: pam_pkcs11 takes the first line that matches."""
    for account in (f"ann\n{SHA256_OF_A} -> root", "x -> root", " root", "root ", "", "a\x00"):
        assert mapping.text_of({b"a": account}) == mapping.text_of({})
    assert mapping.account_of(mapping.text_of({b"a": "AGENCY\\ann"}).decode(), b"a") == "AGENCY\\ann"
