"""What each strategy trains, and that gradients are those of the same losses written out."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from ofa import Arch, InvalidInput
from ofa.task import Batch, classification
from ofa.train import OFA_PHASES, Phase, StepContext, progressive, sandwich, single, soft_cross_entropy
from ofa.train.features import feature_loss, hidden_states, matching_blocks
from ofa.train.precision import precision_of
from ofa.train.step import step_rng

IMAGES = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 4
SMOOTHING = 0.1
BATCH = Batch(IMAGES, LABELS)
TASK = classification(num_classes=4, label_smoothing=SMOOTHING)


def context(step: int = 0, total_steps: int = 100, optimizer=None) -> StepContext:
    numbers = precision_of("float32", torch.device("cpu"))
    return StepContext(step, total_steps, step_rng(0, step), optimizer, TASK, numbers.autocast, numbers.backward)


@pytest.fixture
def supernet(make_supernet):
    made = make_supernet()
    made.model.dropout.p = 0.0
    for parameter in made.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return made


@pytest.fixture
def built(supernet, monkeypatch):
    """The Archs that views were made of, in order."""
    archs: list[Arch] = []
    original = supernet.subnet

    def recording(arch, **options):
        archs.append(arch)
        return original(arch, **options)

    monkeypatch.setattr(supernet, "subnet", recording)
    return archs


def gradients(supernet):
    return {name: parameter.grad.clone() for name, parameter in supernet.model.named_parameters()}


def check_gradients(supernet, loss):
    """The gradients in the supernet are those of `loss`, by autograd through differentiable views."""
    expected = torch.autograd.grad(loss, list(supernet.model.parameters()), allow_unused=True)
    for (name, got), wanted in zip(gradients(supernet).items(), expected, strict=True):
        wanted = torch.zeros_like(got) if wanted is None else wanted
        assert torch.allclose(got, wanted, atol=1e-6), name


def from_labels(supernet, arch):
    logits = supernet.subnet(arch)(IMAGES)
    return logits, functional.cross_entropy(logits, LABELS, label_smoothing=SMOOTHING)


def test_single_trains_the_largest_or_the_arch_it_is_given(supernet, built):
    smallest = supernet.space.smallest
    for arch in (smallest, smallest.to_dict()):
        assert torch.isfinite(single(supernet, BATCH, context(), arch=arch))
    single(supernet, BATCH, context())
    assert built == [smallest, smallest, supernet.space.largest]
    with pytest.raises(InvalidInput, match=r"depth\.blocks is missing"):
        single(supernet, BATCH, context(), arch={"width": {"conv": 4}})


def test_sandwich_trains_largest_smallest_and_some_drawn_by_the_step(supernet, built):
    sandwich(supernet, BATCH, context(7))
    space, rng = supernet.space, step_rng(0, 7)
    assert built == [space.largest, space.smallest, space.sample(rng), space.sample(rng)]
    built.clear()
    sandwich(supernet, BATCH, context(7), random_subnets=0)
    assert built == [space.largest, space.smallest]


@pytest.mark.parametrize("weight", [0.0, 0.25])
def test_sandwich_gradients_are_of_labels_for_the_largest_and_mostly_of_its_logits_for_the_rest(supernet, weight):
    loss = sandwich(supernet, BATCH, context(3), label_weight=weight)
    space, rng = supernet.space, step_rng(0, 3)
    logits, total = from_labels(supernet, space.largest)
    teacher = logits.detach().softmax(1)
    others = [arch for arch in (space.smallest, space.sample(rng), space.sample(rng)) if arch != space.largest]
    for arch in others:
        distilled = functional.cross_entropy(supernet.subnet(arch)(IMAGES), teacher)
        total = total + (1 - weight) * distilled + weight * from_labels(supernet, arch)[1]
    check_gradients(supernet, total)
    assert torch.allclose(loss, total.detach() / (1 + len(others))) and not loss.requires_grad


def test_sandwich_refuses_what_is_no_fraction(supernet):
    with pytest.raises(InvalidInput, match=r"label_weight=1\.5 is a fraction"):
        sandwich(supernet, BATCH, context(), label_weight=1.5)


def test_with_features_the_rest_learn_what_flows_between_the_blocks_of_the_largest(supernet):
    space = supernet.space
    sandwich(supernet, BATCH, context(3), random_subnets=1, features=0.3)
    (drawn,) = [space.sample(step_rng(0, 3))]
    views = {arch: supernet.subnet(arch) for arch in (space.largest, space.smallest, drawn)}
    states, logits = {}, {}
    for arch, view in views.items():
        with hidden_states(view, matching_blocks(supernet, arch)) as hidden:
            logits[arch] = view(IMAGES)
        states[arch] = hidden
    loss = functional.cross_entropy(logits[space.largest], LABELS, label_smoothing=SMOOTHING)
    for arch in dict.fromkeys((space.smallest, drawn)):
        times = 1 + (arch == space.smallest == drawn)
        apart = feature_loss(supernet, arch, states[arch], states[space.largest])
        loss = loss + times * (soft_cross_entropy(logits[arch], logits[space.largest].detach()) + 0.3 * apart)
    check_gradients(supernet, loss)


@pytest.mark.parametrize("features", [-0.1, float("nan"), float("inf")])
def test_features_are_the_weight_of_a_loss(supernet, features):
    with pytest.raises(InvalidInput, match=r"features=.* is the weight of a loss: 0 or more"):
        sandwich(supernet, BATCH, context(), features=features)


def test_gradients_of_steps_add_up_until_they_are_cleared(supernet):
    sandwich(supernet, BATCH, context(3))
    once = gradients(supernet)
    sandwich(supernet, BATCH, context(3))
    for name, twice in gradients(supernet).items():
        assert torch.allclose(twice, 2 * once[name], rtol=1e-4, atol=1e-6)


def test_the_supernets_norm_statistics_stay(supernet):
    sandwich(supernet, BATCH, context(3))
    assert torch.equal(supernet.model.norm.running_mean, torch.zeros(8))
    assert int(supernet.model.norm.num_batches_tracked) == 0


PHASES = (
    Phase(0.25, distill=0.0),
    Phase(0.25, kernel_size=None),
    Phase(0.5, kernel_size=None, depth=None, width=None, subnets=3, distill=0.5),
)


def test_progressive_opens_one_kind_after_the_other(supernet, built):
    space = supernet.space
    run = partial(progressive, supernet, BATCH, phases=PHASES)
    for step in range(25):
        run(context(step))
    assert built == [space.largest] * 25
    built.clear()
    for step in range(25, 50):
        run(context(step))
    assert len({arch.kernel_size["blocks.1.conv"] for arch in built}) == 2
    assert {arch.width["conv"] for arch in built} == {8} and {arch.depth["blocks"] for arch in built} == {2}
    built.clear()
    for step in range(50, 100):
        run(context(step))
    assert {arch.width["conv"] for arch in built} == {4, 8} and {arch.depth["blocks"] for arch in built} == {1, 2}


def test_progressive_gradients_are_of_labels_and_of_the_largest(supernet, built):
    step = next(s for s in range(50, 100) if supernet.space.sample(step_rng(0, s)) != supernet.space.largest)
    loss = progressive(supernet, BATCH, context(step), phases=[{"fraction": 1.0, "distill": 0.5, **OPEN}])
    (teacher_arch, arch) = built
    assert teacher_arch == supernet.space.largest != arch
    teacher = supernet.subnet(teacher_arch)(IMAGES).detach().softmax(1)
    logits, total = from_labels(supernet, arch)
    total = total + 0.5 * functional.cross_entropy(logits, teacher)
    check_gradients(supernet, total)
    assert torch.allclose(loss, total.detach())


OPEN = {"kernel_size": None, "depth": None, "width": None}


def test_a_phase_sorts_channels_once_at_its_start_and_moves_the_optimizer_state(supernet):
    optimizer = torch.optim.SGD(supernet.model.parameters(), lr=0.0, momentum=0.9)
    supernet.model.conv.weight.grad.copy_(torch.arange(72.0).view(8, 1, 3, 3))
    optimizer.step()
    weight = supernet.model.conv.weight
    phases = (Phase(0.5, width=1), Phase(0.5, width=None, sort_channels=True))
    before = supernet.subnet(supernet.space.largest)(IMAGES)
    old_weight, old_state = weight.detach().clone(), optimizer.state[weight]["momentum_buffer"].clone()
    progressive(supernet, BATCH, context(49, optimizer=optimizer), phases=phases)
    assert torch.equal(weight, old_weight)
    progressive(supernet, BATCH, context(50, optimizer=optimizer), phases=phases)
    assert not torch.equal(weight, old_weight)
    order = [int((old_weight == row).flatten(1).all(1).nonzero()) for row in weight]
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], old_state[order])
    assert torch.allclose(supernet.subnet(supernet.space.largest)(IMAGES), before, atol=1e-5)
    sorted_weight = weight.detach().clone()
    progressive(supernet, BATCH, context(51, optimizer=optimizer), phases=phases)
    assert torch.equal(weight, sorted_weight)


def test_the_recipe_of_the_paper_is_whole():
    assert sum(phase.fraction for phase in OFA_PHASES) == pytest.approx(1.0)
    last = OFA_PHASES[-1]
    assert (last.kernel_size, last.depth, last.width) == (None, None, None)
