"""What a user can do about each reason for which something cannot vary."""

from __future__ import annotations

_SIZE = (
    "read the size from the tensor (`x.flatten(1)`, `x.shape[1]`, -1 in `view` or `reshape`), or keep it in an integer "
    "attribute of the module, which follows the width"
)
_PERMUTE = "what varies must be channels, not positions: permute it to the channels before"
_LAYERS_AROUND = "put layers with weights on both sides: what lies beyond them then varies"

# A part of a reason and its cure; the first that fits counts. Empty: nothing is to be done.
CURES: tuple[tuple[str, str], ...] = (
    (
        "computes its weight",
        "use ops that have rules there, or make it plain by `torch.nn.utils.parametrize.remove_parametrizations`",
    ),
    ("is the network's input", ""),
    ("is the network's output", ""),
    ("is the vocabulary", ""),
    ("has a single entry", ""),
    (
        "the rules leave one",
        "give more values in `SpaceRules` (`width_ratios`, `multiple_of`, `min_depth`), or less in `fix`",
    ),
    ("not together with the others", "put one of the two layers that it names in `fix`"),
    ("hard-coded", _SIZE),
    (
        "reads the full model's",
        "reach the layer by `self`, not through a closure or a stored method: a copy then uses its own",
    ),
    ("meets a constant", "replace padding or joining with constants by a learned layer, such as a 1x1 convolution"),
    ("meets values that no weight made", "register the tensor as a parameter or a buffer, so that it shrinks along"),
    ("meets an op without a rule", _LAYERS_AROUND),
    ("grouped transposed convolution has no rule", "use one group, or a depthwise convolution after resizing"),
    ("counts the channels inside one group", "use more groups, or a depthwise convolution: whole groups vary"),
    ("are tied together", "put a layer with weights between the layers that the tie runs through"),
    ("is written", "use `torch.cat` or `torch.where` in place of writing into a part of a tensor"),
    ("is convolved over", _PERMUTE),
    ("is pooled over", _PERMUTE),
    ("is normalized over", _PERMUTE),
    ("is put in order", "order or choose positions, not channels"),
    (
        "is searched for its extremum",
        "search positions, or the output: channels that vary change their numbers",
    ),
    ("is looked up by an index", "an index counts entries: let it choose positions, or leave the width in `fix`"),
    ("is merged with another dimension", "keep the two dimensions apart, or put one of them in `fix`"),
    ("varies along another dimension too", _LAYERS_AROUND),
    ("never meets another layer", "a weight is elastic where another layer's weights use what it makes"),
    ("pairs of channels meet", "slice by the channels that are kept, not at a share of their number"),
    (
        "differs from",
        "some code depends on the number of channels in a way that labels do not show",
    ),
    (
        "is not in a module of its own",
        "write the sum, as in `x + attention(x)`, in the forward of a module: the block",
    ),
    (
        "never called as a module",
        "call the block itself, `block(x)`: calls of its `forward` or its parts are not seen",
    ),
    (
        "returns no sum of an argument",
        "a block can be left out if its own forward adds its input to what it computes",
    ),
    ("computes less, too", "keep what is computed between blocks out of the loop, or in the blocks"),
    ("changes shape", "the output's shape must not depend on what varies: end with a layer of fixed size"),
    ("is not finite", "some code divides by, or takes a root or logarithm of, what a narrow layer makes zero"),
)


def cure_of(reason: str) -> str:
    """Returns what would free what a reason keeps as it is; empty if nothing would, or nothing is known."""
    return next((cure for part, cure in CURES if part in reason), "")
