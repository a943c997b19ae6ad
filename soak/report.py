"""What is printed in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soak import measures

if TYPE_CHECKING:
    from soak.run import Options, Soak


def summary(soak: Soak, seconds: float, cpu: float) -> None:
    """Print how often everything was done, the slowest removals, and what the processes took."""
    print(f"\n{sum(soak.counts.values())} steps in {seconds:.0f} s, with {cpu / seconds:.0%} of one core:")
    for name, count in sorted(soak.counts.items()):
        print(f"  {count:4d} {name}")
    print(f"\n{len(soak.latencies)} removals that are due within 1 s; the slowest:")
    for latency, name in sorted(soak.latencies, reverse=True)[:3]:
        print(f"  {latency:.3f} s {name}")
    print("\nmemory in KiB and open files, of processes that lived long enough:")
    for (name, pid), samples in soak.samples.items():
        grown = measures.growth(samples)
        if grown is not None:
            memory = f"{grown.first:8.0f} -> {grown.last:8.0f} ({grown.share:+.1%}) in {grown.seconds:5.0f} s"
            print(f"  {name:22} {pid:8d} {memory}, {samples[0].files} -> {samples[-1].files} files")


def outcome(soak: Soak, options: Options) -> int:
    """Print what was violated and how to see it again; the exit status."""
    if not soak.violations:
        print("\nNo rule was violated.")
        return 0
    print(f"\n{len(soak.violations)} violations; the same steps: make soak SEED={options.seed}")
    for each in soak.violations:
        print(f"  {each}")
    return 1
