"""Room 5: one Trainer for every model."""
