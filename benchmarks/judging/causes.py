"""Why a model of the collection keeps more than the bar of its family, or costs other than counted; by hand."""

from __future__ import annotations

_OUTPUT = "a body without a head: its residual width is the width of what it returns, which callers count on"
_SHARED = "the code reads the width for the heads' size, so that heads and width can only go together, and "

CAUSES = {
    "ShuffleNetV2": "3,514 parameters in all: where halves are shuffled, whole groups of channels stay or go, and the "
    "smallest of them are a ninth of it",
    "CondConv": "examples are folded into channels, (1, N * C, H, W), which ties the channels that the first mixed "
    "convolution gets",
    "torchvision inception_v3": "the auxiliary head runs only in training, where the example's 96 pixels are too few "
    "for it; the network is made for 299",
    "timm resnest14d": "a convolution of two groups whose results are added: groups stay or go as a whole, and the sum "
    "ties the one to the other",
    "timm cait_xxs24_224": _SHARED + "matrices from heads to heads tie all heads of a block to each other",
    "timm coat_lite_tiny": _SHARED + "the heads are split among windows of three sizes by numbers in lists",
    "transformers DistilBERT": _OUTPUT + "; its 512 positions times that width are 46 % of this small example",
    "transformers BART": _OUTPUT + "; two tables of 1,026 positions times that width are 59 % of this small example",
    "transformers DINOv2": _OUTPUT,
    "transformers CLIP vision": _OUTPUT,
    "transformers SigLIP vision": _OUTPUT,
    "transformers Wav2Vec2": _OUTPUT + "; and the convolution of positions counts the channels inside its groups",
}

_ONE = "einsum multiplies without a matrix product where a sum has one term, which the counter does not count"

COSTS = {
    "CondConv": f"with one expert {_ONE}: at most .09 %",
    "ViT, einsum": f"with a head of one entry {_ONE}: 5 and 7 % of two very narrow Archs",
    "torchvision swin_v2_t": "a table of positions is computed once for the batch, of two images here: whole rows "
    "are counted for each, 112 of 225; less than .01 %",
}
