"""What a run costs: `make bench`. Figures of one machine at one moment; the ratios to the bare limits are what counts."""
