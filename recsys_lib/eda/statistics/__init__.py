"""What a recommender team asks of its data, as tables; a question a file, as in `figures`.

Sparse products only: nothing of size users x items is ever made.
"""
