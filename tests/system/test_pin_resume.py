"""A cable that is cut and mended: within the window nothing is asked, after it everything is."""

import re
import time

from lab.product import PIN, World, tries_left
from tests.system.pin_pad import ASKS, Pad, at_pad, prepare, records, start

DEAD = "The link is dead"
CONFIG = "/root/.config/sra/config.toml"


def cut(world: World, pad: Pad, seconds: float) -> None:
    """Cut the cable until this long after it was noticed."""
    world.admin.cable(up=False)
    pad.wait_for(DEAD, within=15)
    time.sleep(seconds)
    world.admin.cable(up=True)


def codes(pad: Pad) -> list[str]:
    """The session codes that were shown."""
    return re.findall(r"Session code [^ ]*?(\d{4} \d{4})", pad.output)


def test_within_the_window_the_card_comes_back_by_itself_and_after_it_the_pin_is_asked_again(world: World) -> None:
    prepare(world, ["9A=P256"])
    world.admin.write(CONFIG, "resume_seconds = 3\n", mode=0o600)
    with at_pad(world, "--pin-cache", "60") as pad:
        cut(world, pad, 0)
        pad.wait_for("The card is inserted", within=20)
        assert pad.output.count("To connect to remote") == 1
        assert len(codes(pad)) == 1
        cut(world, pad, 3.5)
        pad.gives("To connect to remote: PIN of software:ann (3 tries left", PIN)
        pad.wait_for("The card is inserted", within=20)
        first, second = codes(pad)
        assert first != second
        program = start(world.remote, "su")
        pad.says(f"{ASKS}. Give it?", "y")
        assert program.wait(15) == 0, program.output
    assert tries_left(world.admin, "ann") == 3
    events = [record["event"] for record in records(world.admin)]
    assert events.count("connected") == 3
    assert "link-lost" in events
    records(world.remote, "--root", "/")
