"""Work and faults at random on two machines, with rules that hold all the time: ``make soak``."""
