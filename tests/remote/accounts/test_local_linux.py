import pytest

from sra.errors import UsageError
from sra.remote.accounts.local_linux import LocalAccount, find_local


def test_root_is_there() -> None:
    assert find_local("root") == LocalAccount("root", 0)


def test_an_account_that_is_not_there_is_said_so() -> None:
    with pytest.raises(UsageError, match="no account nobody-has-this-name"):
        find_local("nobody-has-this-name")


@pytest.mark.parametrize("name", ["", "0", "root\0", "../root", "root\n", "-r"])
def test_what_could_not_be_an_account_is_not_even_looked_up(name: str) -> None:
    with pytest.raises(UsageError, match="can't be an account"):
        find_local(name)
