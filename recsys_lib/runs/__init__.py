"""Room 6: run folders, submissions and batches."""
