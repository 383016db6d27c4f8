"""Evaluation: episodes, statistics and reports, the same for simulation and for the robot in the loop."""
