"""Login through PAM with the inserted card: the right person, on the pad or typed; nobody else, and no other card."""

import pytest

from lab.product import PIN, World, code_of

SERVICE = "desk"


@pytest.fixture(scope="module", autouse=True)
def _people(world: World) -> None:
    world.remote.configure_pam_pkcs11(SERVICE, "ann", world.add_person("ann", ["9A=RSA2048", "9D=RSA2048"]))
    world.add_person("bob", ["9A=RSA2048"])


def log_in(world: World, account: str, typed: str = "", operation: str = "authenticate") -> tuple[int, str]:
    done = world.remote.run(["pamtester", SERVICE, account, operation], input=f"{typed}\n", check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_pad_logs_in_and_nothing_is_typed(world: World) -> None:
    with world.inserted("ann") as connection:
        status, said = log_in(world, "ann")
        assert (status, "successfully authenticated" in said) == (0, True)
        assert "Enter your smart card PIN on the pinpad" in said
        assert "PIN asked on the PIN pad: right." in connection.output
        assert "Key 9A signed the" in connection.output


def test_a_forwarded_pin_logs_in_and_a_wrong_one_does_not(world: World) -> None:
    with world.inserted("ann", entry="forward") as connection:
        status, said = log_in(world, "ann", "000000")
        assert (status, "Wrong smartcard PIN" in said) == (1, True)
        status, said = log_in(world, "ann", PIN)
        assert (status, "successfully authenticated" in said) == (0, True)
        assert connection.output.count("Key 9A signed") == 1


def test_the_session_code_logs_in_and_the_pin_does_not(world: World) -> None:
    with world.inserted("ann", entry="code") as connection:
        status, said = log_in(world, "ann", PIN)
        assert (status, "Wrong smartcard PIN" in said) == (1, True)
        status, said = log_in(world, "ann", code_of(connection))
        assert (status, "successfully authenticated" in said) == (0, True)
        assert connection.output.count("Key 9A signed") == 1


def test_the_card_opens_no_other_account(world: World) -> None:
    with world.inserted("ann") as connection:
        for account in ("bob", "root"):
            status, said = log_in(world, account)
            assert (status, "No matching certificate" in said) == (1, True), said
        assert "Key 9A" not in connection.output


def test_another_persons_card_does_not_open_the_account(world: World) -> None:
    with world.inserted("bob") as connection:
        status, said = log_in(world, "ann")
        assert (status, "No matching certificate" in said) == (1, True)
        assert "Key 9A" not in connection.output


def test_with_two_cards_in_pam_pkcs11_goes_by_the_first_reader(world: World) -> None:
    with world.inserted("ann") as ann, world.inserted("bob") as bob:
        status, said = log_in(world, "bob")
        assert (status, "Welcome ann!" in said) == (1, True)
        assert "Key 9A" not in ann.output
        assert log_in(world, "ann")[0] == 0
        assert "Key 9A signed" in ann.output
        assert "PIN" not in bob.output


def test_after_the_ejection_nobody_logs_in(world: World) -> None:
    with world.inserted("ann"):
        assert log_in(world, "ann")[0] == 0
    status, said = log_in(world, "ann")
    assert (status, "authenticated" in said) == (1, False)
