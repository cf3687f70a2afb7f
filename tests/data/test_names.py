from recsys_lib.data.names import closest, did_you_mean


def test_the_nearest_name_whatever_its_case():
    assert closest("neumff", ["ease", "neumf"]) == "neumf"
    assert closest("model", ["SEED", "MODEL"]) == "MODEL"
    assert did_you_mean("epoch", ["epochs", "seed"]) == "; did you mean 'epochs'?"


def test_nothing_is_suggested_where_nothing_is_alike():
    assert closest("xyz", ["ease"]) is None
    assert did_you_mean("xyz", []) == "."
