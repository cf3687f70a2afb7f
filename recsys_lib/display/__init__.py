"""Room 1: what is shown. Tables in, figures out; knows nothing of the other rooms."""
