"""The names of ATen ops that act on labels alike."""

MOVEMENT_OPS = (
    "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze", "expand", "flip", "roll", "repeat",
    "clone", "contiguous", "detach", "alias", "narrow", "split", "split_with_sizes", "chunk", "unbind",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk",
    "unfold", "diagonal", "narrow_copy", "view_copy", "expand_copy", "permute_copy", "conj", "_conj", "resolve_conj",
    "resolve_neg", "_neg_view", "movedim", "swapaxes", "rot90",
)  # fmt: skip

VIEW_OPS = ("view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "unflatten")

POOL_OPS = (
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d",
    "_adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "upsample_linear1d", "upsample_bilinear2d", "_upsample_bilinear2d_aa",
    "upsample_bicubic2d", "upsample_trilinear3d", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
    "replication_pad2d", "reflection_pad3d", "replication_pad3d", "max_unpool2d", "max_unpool3d",
    "fractional_max_pool2d", "fractional_max_pool3d", "_upsample_nearest_exact3d", "_upsample_bicubic2d_aa",
)  # fmt: skip

REDUCTION_OPS = (
    "mean", "sum", "amax", "amin", "prod", "var", "std", "var_mean", "std_mean", "max", "min", "argmax", "argmin",
    "linalg_vector_norm", "norm", "any", "all", "logsumexp", "nansum", "count_nonzero",
)  # fmt: skip

SOFTMAX_OPS = ("_softmax", "_log_softmax", "softmax", "log_softmax", "_safe_softmax", "cumsum")

ATTENTION_OPS = (
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)  # fmt: skip

CONSTANT_OPS = (
    "zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "scalar_tensor", "fill",
)  # fmt: skip

NO_VALUE_OPS = (
    "arange", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "rand", "randn", "rand_like",
    "randn_like", "randint", "randperm", "eye", "linspace", "_local_scalar_dense", "sym_size", "sym_stride",
    "sym_numel", "is_same_size", "item",
)  # fmt: skip

BATCH_NORM_OPS = (
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "_native_batch_norm_legit_functional", "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_no_update",
    "_batch_norm_with_update",
)  # fmt: skip

# Elementwise ops that carry no tag saying so.
ELEMENTWISE_OPS = frozenset({
    "hardswish", "hardtanh", "hardsigmoid", "relu6", "relu", "silu", "leaky_relu", "elu", "celu", "selu", "gelu",
    "mish", "softplus", "log_sigmoid_forward", "threshold", "_prelu_kernel", "prelu", "clamp", "clamp_min", "clamp_max",
    "where", "masked_fill", "add", "sub", "rsub", "mul", "div", "sigmoid", "tanh", "exp", "sqrt", "rsqrt", "pow", "neg",
    "abs", "lerp", "addcmul", "addcdiv", "maximum", "minimum", "softshrink", "hardshrink", "logit", "square", "erf",
    "complex", "polar", "angle", "sgn",
})  # fmt: skip
