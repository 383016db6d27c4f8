"""System identification: the simulated robot's parameters from a recording of a robot."""
