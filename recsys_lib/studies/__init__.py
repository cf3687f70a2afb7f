"""Room 7: studies that train and ask many models to answer one question."""
