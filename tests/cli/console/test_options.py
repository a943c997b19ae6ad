from sra.cli.console.options import examples


def test_examples_keep_their_lines() -> None:
    assert examples("sra a") == "\b\nExample:\n  sra a"
    assert examples("sra a", "sra b") == "\b\nExamples:\n  sra a\n  sra b"
