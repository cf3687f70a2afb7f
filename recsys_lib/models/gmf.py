"""The product of a user and an item vector, weighted: matrix factorisation with a learned inner product.

The formula, the loss and the source stand in ncf.py, which the family shares. There is no tower to put features into: those
of users rank users without history, those of items are refused.
"""

from dataclasses import dataclass

from recsys_lib.models.base import option
from recsys_lib.models.ncf import NCF, NCFConfig


@dataclass(frozen=True)
class GMFConfig(NCFConfig):
    features: tuple[str, ...] | str = option("none", "side information of users without history: 'none', 'user' or a list of names")


class GMF(NCF):
    name = "gmf"
    Config = GMFConfig
    has_product = True
    has_tower = False
