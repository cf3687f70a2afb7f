"""The product of a user and an item vector, weighted: matrix factorisation with a learned inner product.

The formula, the loss and the source stand in ncf.py, which the family shares.
"""

from recsys_lib.models.ncf import NCF


class GMF(NCF):
    name = "gmf"
    has_product = True
    has_tower = False
