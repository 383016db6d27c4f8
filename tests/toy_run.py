"""Settings of a run that is over in seconds."""

TOY = [
    "num_envs=4",
    "num_threads=1",
    "batch_size=32",
    "updates_per_cycle=10",
    "warmup_steps=400",
    "buffer_steps=5000",
    "evaluation.interval_steps=800",
    "evaluation.episodes=4",
    "evaluation.final_episodes=2",
]
