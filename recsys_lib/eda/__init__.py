"""Room 6: exploratory data analysis, drawn once."""
