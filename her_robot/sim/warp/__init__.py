"""The batched simulation on a GPU, by MuJoCo Warp: a second backend beside `sim.batched`.

Tasks, randomisation, sensors and contract are those of the CPU, by the same code; what is here is their physics on the
device, and episodes whose arrays are PyTorch tensors that never leave it. This package alone of `sim` imports torch.
"""
