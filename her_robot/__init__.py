"""Goal-reaching policies for robot arms and hands: train in simulation, deploy over ROS 2, prove it in the loop."""

__version__ = "0.2.0"
