"""What every criterion must hold to."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.prune import criteria
from ofa.prune.context import Criterion, PruneContext
from tests.ofa.prune.contexts import MODELS, context_of, labeled, model_context


def users_own(context: PruneContext) -> dict[str, Tensor]:
    """Large weights in early layers first, as somebody might write it."""
    return {
        name: weight.detach().abs() / (1 + position) for position, (name, weight) in enumerate(context.weights.items())
    }


CRITERIA: dict[str, Criterion] = {
    "magnitude": criteria.magnitude,
    "magnitude_l2": partial(criteria.magnitude, p=2),
    "magnitude_per_bit": criteria.magnitude_per_bit,
    "std_threshold": partial(criteria.std_threshold, quality={"*": 1.5, "classifier": 0.5}),
    "random": criteria.random_,
    "probabilistic": partial(criteria.probabilistic, temperature=0.5),
    "taylor": criteria.taylor,
    "snip": criteria.snip,
    "grasp": criteria.grasp,
    "synflow": criteria.synflow,
    "norm_scale": criteria.norm_scale,
    "apoz": criteria.apoz,
    "activation": criteria.activation,
    "fpgm": criteria.fpgm,
    "movement": criteria.Movement(),
    "normalized": criteria.normalized(criteria.snip, by="l2"),
    "normalized_movement": criteria.normalized(criteria.Movement()),
    "users_own": users_own,
}
ROWS = {"norm_scale", "apoz", "activation", "fpgm"}
DRAWN = {"random", "probabilistic"}
MEASURED = ["taylor", "snip", "grasp", "synflow", "norm_scale", "apoz", "activation", "normalized"]


def everything(context: PruneContext) -> dict[str, object]:
    """All that a criterion might leave changed, as values that compare."""
    model = context.model
    return {
        "state": {name: tensor.tolist() for name, tensor in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "trainable": [p.requires_grad for p in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "weights": [id(parameter) for parameter in model.parameters()],
        "masks": {name: mask.tolist() for name, mask in context.masks.items()},
        "rng": torch.random.get_rng_state().tolist(),
        "autograd": torch.is_grad_enabled(),
    }


def never(parameter: Tensor) -> None:
    raise AssertionError("a gradient was accumulated")


def prepared(model: str, seed: int = 0) -> PruneContext:
    """A context in the middle of a training: mixed modes, gradients, a frozen weight, two steps observed."""
    context = model_context(model, seed)
    context.model.train()
    next(module for module in context.model.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in context.model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.register_post_accumulate_grad_hook(never)  # a pruner's hooks must not see measured gradients
    next(iter(context.weights.values())).requires_grad_(False)
    for _ in range(2):
        criteria.Movement().observe(context)
    return context


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CRITERIA)
def test_contract(name: str, model: str) -> None:
    context = prepared(model)
    with torch.no_grad():  # an event may be fired from where autograd is off
        before = everything(context)
        scores = CRITERIA[name](context)
        assert everything(context) == before
    assert list(scores) == list(context.weights)
    for weight, score in scores.items():
        rows = tuple(context.weights[weight].shape[:1])
        assert tuple(score.shape) == (rows if name in ROWS else tuple(context.weights[weight].shape))
        assert score.is_floating_point() and bool(torch.isfinite(score).all()) and not score.requires_grad
        assert score.data_ptr() not in {tensor.data_ptr() for tensor in context.memory.values()}
    assert all(len(scores[weight].unique()) > 1 for weight in list(scores)[:-1]), "layers of which nothing is ranked"
    again = CRITERIA[name](prepared(model))
    assert all(torch.equal(scores[weight], again[weight]) for weight in scores)
    other = CRITERIA[name](prepared(model, seed=9))
    assert all(torch.equal(scores[weight], other[weight]) for weight in scores) == (name not in DRAWN)


@pytest.mark.parametrize("name", CRITERIA)
def test_single_precision_gives_the_same_scores_to_its_accuracy(name: str) -> None:
    def scores(dtype: torch.dtype) -> dict[str, Tensor]:
        double = model_context("lenet5")
        batches = [(images.to(dtype), labels) for images, labels in labeled()]
        context = context_of(double.model.to(dtype), batches, dict(double.masks))
        for weight in context.weights.values():
            weight.grad = weight.detach() / 2 + 0.1
        criteria.Movement().observe(context)
        return dict(CRITERIA[name](context))

    exact, single = scores(torch.float64), scores(torch.float32)
    for weight, score in exact.items():
        largest = float(score.abs()[score > -1e6].max())
        torch.testing.assert_close(single[weight].double(), score, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.parametrize("name", MEASURED)
def test_what_measures_on_data_says_so_when_there_is_none(name: str) -> None:
    with pytest.raises(InvalidInput, match="measures on data"):
        CRITERIA[name](context_of(MODELS["lenet5"]()))


@pytest.mark.parametrize("name", ["taylor", "snip", "grasp", "apoz", "activation"])
def test_a_model_that_gives_nan_is_refused(name: str) -> None:
    context = prepared("lenet5")
    with torch.no_grad():
        next(module for module in context.model.modules() if isinstance(module, nn.BatchNorm2d)).weight.fill_(torch.nan)
    before = everything(context)["modes"]
    if name == "apoz":  # NaN is not above 0: the channel counts as dead
        assert float(CRITERIA[name](context)["conv1.weight"].max()) == 0
    else:
        with pytest.raises(InvalidInput, match="NaN or infinite"):
            CRITERIA[name](context)
    assert everything(context)["modes"] == before


@pytest.mark.gpu
@pytest.mark.parametrize("name", CRITERIA)
def test_on_a_gpu_scores_are_those_of_the_cpu_and_lie_beside_their_weights(name: str) -> None:
    here = prepared("lenet5")
    masks = {weight: mask.cuda() for weight, mask in here.masks.items()}
    there = context_of(prepared("lenet5").model.cuda(), labeled(), masks)
    for weight, parameter in prepared("lenet5").weights.items():
        there.weights[weight].grad = None if parameter.grad is None else parameter.grad.cuda()
    for _ in range(2):
        criteria.Movement().observe(there)
    before = torch.cuda.get_rng_state()
    scores, expected = CRITERIA[name](there), CRITERIA[name](here)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    for weight, score in expected.items():
        assert scores[weight].device == there.weights[weight].device
        torch.testing.assert_close(scores[weight].cpu(), score, rtol=1e-6, atol=1e-9)
