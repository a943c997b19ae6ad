"""Two machines in one: for the system tests, the demonstration and the benchmarks."""
