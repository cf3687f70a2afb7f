"""Room 1: the nouns that everything else speaks of."""
