"""Recipes: forwards of our own for layers whose code ties sizes that need not be tied.

`nn.MultiheadAttention` computes the size of a head from the width of its input, so that neither heads nor width can
shrink alone. Its recipe reads every size from the weights, under the same names. Where a subnet's sizes suit the
original class, the subnet has the original class.

A recipe for a class of yours is a class with the same parameters, buffers and submodules, best a subclass of it:

    class ElasticAttention(MyAttention):
        def forward(self, x):  # sizes from x and from the weights, not from self
            ...

    supernet = ofa.Supernet(model, example, recipes={MyAttention: ElasticAttention})

Objects of your class become objects of the recipe's (`__init__` is not called) wherever a subnet cuts their weights.
A recipe may have a static method `original_sizes(module, shapes)`, which returns the attributes with which the original
class computes the same on weights of these shapes, by their names, or None where it cannot.
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from ofa.recipes.convert import apply_recipes, check_recipes, planned_class
from ofa.recipes.multihead_attention import ElasticMultiheadAttention
from ofa.recipes.transformer_encoder import ElasticTransformerEncoder

Recipes = Mapping[type[nn.Module], type[nn.Module]]
DEFAULT_RECIPES: Recipes = MappingProxyType(
    {nn.MultiheadAttention: ElasticMultiheadAttention, nn.TransformerEncoder: ElasticTransformerEncoder}
)

__all__ = [
    "DEFAULT_RECIPES",
    "ElasticMultiheadAttention",
    "ElasticTransformerEncoder",
    "Recipes",
    "apply_recipes",
    "check_recipes",
    "planned_class",
]
