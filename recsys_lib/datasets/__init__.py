"""Room 2: one reader a file."""
