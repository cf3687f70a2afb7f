"""The product and the tower side by side, joined by one output layer.

The formula, the loss and the source stand in ncf.py, which the family shares.
"""

from recsys_lib.models.ncf import NCF


class NeuMF(NCF):
    name = "neumf"
    has_product = True
    has_tower = True
