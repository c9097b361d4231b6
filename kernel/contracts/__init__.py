"""What the world must provide to the kernel: a store, a clock, services that start and stop."""
