"""Room 4: full-catalogue ranking and its metrics."""
