"""The tower alone: what users and items are, and how they combine, learned by a small network.

The formula, the loss and the source stand in ncf.py, which the family shares.
"""

from recsys_lib.models.ncf import NCF


class MLP(NCF):
    name = "mlp"
    has_product = False
    has_tower = True
