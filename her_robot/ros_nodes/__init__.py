"""ROS 2 nodes. Each converts messages, calls a plain module, and publishes; what is computed lives in those modules."""
