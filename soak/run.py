"""The soak itself: step after step from a seed, each with its line, and a summary in the end."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TypeVar

from lab.hosts import two_hosts
from lab.processes import LabError
from lab.product import SRA
from soak import actions, invariants, measures, report
from soak.actions import ACTIONS, Action
from soak.faults import AT_ONCE, FAULTS, Effect, Fault
from soak.invariants import Logs
from soak.measures import Sample
from soak.place import COMES_BACK, Person, Place
from soak.programs import Program
from sra.errors import SraError

MOST_CPU = 0.35
"""Of one core, on average: the soak waits between steps until it is below."""
BETWEEN = 0.2
"""Seconds between steps at least."""
MIDDLE = 0.4
"""Seconds in which a program that uses a card is somewhere in its work, and near its end."""
QUIET_FROM = 600.0
"""Seconds of a run that is long enough to have a half in which nothing is killed."""
T = TypeVar("T")
During = Callable[[Place, Person], Program]
DURING: dict[str, During | None] = {
    "at rest": None,
    "in a signature": Place.start_signature,
    "in a PIN question": actions.ask_pin,
    "in a login": actions.log_in,
}
"""What goes on when a fault comes."""


@dataclass(frozen=True)
class Step:
    """One step: its number, whose it is, and what is done, how many seconds after the start of what."""

    number: int
    person: str
    work: Action | Fault
    during: str = "at rest"
    delay: float = 0.0

    @property
    def name(self) -> str:
        """As it is printed."""
        return self.work.name if isinstance(self.work, Action) else f"{self.work.name}, {self.during}"


def plan(seed: int) -> Iterator[Step]:
    """The steps of a seed, for ever: actions, and between them faults of each kind in turn."""
    random = Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for number, work in enumerate(_work(random)):
        yield Step(number, random.choice(("ann", "bob")), work, random.choice(tuple(DURING)), random.uniform(0, MIDDLE))


def _work(random: Random) -> Iterator[Action | Fault]:
    kinds = dict.fromkeys(fault.kind for fault in FAULTS)
    by_kind = [_shuffled(random, [fault for fault in FAULTS if fault.kind == kind]) for kind in kinds]
    done = _shuffled(random, ACTIONS)
    for faults in cycle(by_kind):
        yield next(faults)
        yield next(done)


def _shuffled(random: Random, what: Sequence[T]) -> Iterator[T]:
    while True:
        yield from random.sample(what, len(what))


def in_quiet_half(step: Step) -> Step | None:
    """The step as it is done in the half in which nothing is killed, and Ann's connection is left alone; or ``None``.

    So that the processes grow old enough to see whether they grow in another way too.
    """
    if isinstance(step.work, Fault) and step.work.kills:
        return None
    return replace(step, person="bob")


@dataclass(frozen=True)
class Options:
    """What was asked for: ``only`` has the numbers of the steps to be done, or none for all."""

    seed: int
    minutes: float
    logs: Path
    only: frozenset[int] = frozenset()


@dataclass
class Soak:
    """One run on two machines."""

    place: Place
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    latencies: list[tuple[float, str]] = field(default_factory=list)
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)

    def open(self) -> None:
        """Start everything, and remember what is there at rest once all has been done once."""
        self.place.open()
        self._logs = Logs(self.place)
        for action in (each for each in ACTIONS if each.leaves_files):
            action.do(self.place, self.place.people["bob"])
            self.place.come_home(time.monotonic() + COMES_BACK)
        time.sleep(1)
        self.at_home = invariants.at_rest(self.place)

    def do(self, step: Step) -> bool:
        """Do one step and look at everything; whether the next one can be done."""
        said: list[str] = []
        begun = time.monotonic()
        try:
            wrong, goes_on = self._do(step, said), True
        except (LabError, SraError, OSError) as error:
            wrong, goes_on = [f"{type(error).__name__}: {error}"], False
        wrong += self._look(at_home=goes_on)
        self.counts[step.work.name] += 1
        self.violations += [f"step {step.number}, {step.name}, {step.person}: {each}" for each in wrong]
        said.append(f"{time.monotonic() - begun:.1f} s in all")
        print(f"{time.strftime('%H:%M:%S')} {step.number:4d} {step.name} ({step.person}):", ", ".join(said), flush=True)
        for each in wrong:
            print(f"    VIOLATED: {each}", flush=True)
        return goes_on

    def _do(self, step: Step, said: list[str]) -> list[str]:
        """Do the step and come home; what is wrong with when cards went, or did not."""
        person = self.place.people[step.person]
        readers = {name: self.place.reader_of(self.place.people[name]) for name in ("ann", "bob")}
        if isinstance(step.work, Action):
            effect = step.work.do(self.place, person)
        else:
            effect = self._with_fault(step.work, step, said)
        healed = time.monotonic()
        self.place.come_home(healed + COMES_BACK)
        said.append(f"back after {time.monotonic() - healed:.1f} s")
        if effect is None:
            return []
        removed = {
            who.name: self.place.readers.removed_after(effect.cause, readers[who.name], 0) for who in effect.gone
        }
        self.latencies += [(seconds, step.name) for seconds in removed.values() if effect.within == AT_ONCE]
        said += [f"{name}'s card gone after {seconds:.3f} s" for name, seconds in removed.items()]
        hurt = invariants.hurt_sessions(effect, readers, self.place.readers.events)
        return [*invariants.late_removals(effect, readers, removed), *hurt]

    def _with_fault(self, fault: Fault, step: Step, said: list[str]) -> Effect:
        """Have the fault come while a program works, and stand while another does; each has to end, however."""
        place = self.place
        person = place.people["bob" if fault.needs_share else step.person]
        if fault.needs_share:
            place.share(person)
        start = DURING[step.during]
        programs = [] if start is None else [start(place, person)]
        time.sleep(step.delay)
        with fault.stand(place, person) as effect:
            programs += [start(place, person)] if start else []
        said += ["it succeeded" if program.finish() == 0 else "it failed" for program in programs]
        if fault.needs_share:
            place.end_connection(person)
        return effect

    def _look(self, *, at_home: bool) -> list[str]:
        """What is wrong with what was written, and with what is there at rest."""
        wrong = [*self._logs.wrong(), *invariants.broken_chains(invariants.audits(self.place))]
        if at_home:
            if left := invariants.wait_for_rest(self.place, self.at_home):
                wrong += left
                self.at_home = invariants.at_rest(self.place)  # each is told once
            self._measure()
        return wrong

    def _measure(self) -> None:
        now = time.monotonic()
        for name, pid in self.place.long_lived().items():
            if (sample := measures.sample(pid, now)) is not None:
                self.samples.setdefault((name, pid), []).append(sample)

    def growths(self) -> list[str]:
        """Which processes took more and more."""
        wrong = []
        for (name, pid), samples in self.samples.items():
            grown = measures.growth(samples)
            if grown is not None and measures.has_grown(samples):
                wrong.append(f"{name} ({pid}) grew by {grown.share:.1%} in {grown.seconds:.0f} s")
            if leaked := measures.leaked_files(samples):
                wrong.append(f"{name} ({pid}) has {leaked} more files open")
        return wrong

    def verify_by_command(self) -> list[str]:
        """What ``sra audit verify`` says on both machines, where it does not say that all is well."""
        wrong = []
        for host, options in ((self.place.remote, []), (self.place.admin, ["--config-dir", "/root/ann"])):
            done = host.run([SRA, "audit", "verify", *options], check=False)
            if done.returncode != 0:
                wrong.append(f"sra audit verify on the {host.name}: {done.stdout}{done.stderr}")
        return wrong


def run(options: Options) -> int:
    """Soak for as long as wished; the exit status."""
    print(f"seed {options.seed}, {options.minutes:g} minutes, logs in {options.logs}", flush=True)
    with two_hosts() as (admin, remote):
        soak = Soak(Place(admin, remote, options.logs))
        soak.open()
        begun, cpu_before = time.monotonic(), _cpu(soak)
        print(f"at rest: {sum(soak.at_home.values())} processes, files, locks and sockets", flush=True)
        for step in chosen(options, lambda: time.monotonic() - begun):
            if not soak.do(step):
                break
            _pause(soak, begun, cpu_before)
        soak.violations += soak.growths()
        soak.violations += soak.verify_by_command()
        report.summary(soak, time.monotonic() - begun, _cpu(soak) - cpu_before)
    return report.outcome(soak, options)


def chosen(options: Options, clock: Callable[[], float]) -> Iterator[Step]:
    """The steps until the time is over: in the second half nothing is killed."""
    total = options.minutes * 60
    for step in plan(options.seed):
        if clock() >= total:
            return
        if options.only and step.number not in options.only:
            if step.number > max(options.only):
                return
            continue
        done = in_quiet_half(step) if clock() >= total / 2 and total >= QUIET_FROM else step
        if done is not None:
            yield done


def _pause(soak: Soak, begun: float, cpu_before: float) -> None:
    """Wait until the average is below what may be used."""
    time.sleep(BETWEEN)
    while _cpu(soak) - cpu_before > MOST_CPU * (time.monotonic() - begun):
        time.sleep(BETWEEN)


def _cpu(soak: Soak) -> float:
    """The seconds of one core that this process, what it started and the processes on the hosts have used."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ended = sum(each.ru_utime + each.ru_stime for each in own)
    hosts = (soak.place.admin, soak.place.remote)
    return ended + sum(measures.cpu_seconds(pid) for host in hosts for pid in invariants.processes_of(host))
