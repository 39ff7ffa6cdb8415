"""What a stored file may have called: this toolkit's own, PyTorch's layers and optimizers, and what the user trusts."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import search
from ofa.errors import InvalidInput
from search.run.paths import conf_dir
from search.run.trust import TOOLKIT_ALONE, Trust, check_stored, targets_in

SOURCE = Path("config.yaml")
STORED_GROUPS = ("model", "data", "task", "space", "train", "device")  # that later verbs read back
HOSTILE = [
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "subprocess.run",
    "setuptools._distutils.spawn.spawn",
    "distutils.spawn.spawn",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
    "importlib.import_module",
    "runpy.run_path",
    "pickle.loads",
    "torch.load",
    "torch.hub.load",
    "torch.jit.load",
    "torch.utils.cpp_extension.load_inline",
    "torch.nn.modules.module.os.system",
    "torch.nn.parallel.parallel_apply",
    "torch.nn.Module.register_forward_hook",
    "torch.optim.Optimizer.load_state_dict",
    "torch.optim.optimizer.Optimizer.__class__",
    "torch.optim.swa_utils.update_bn",
    "torch.nn.utils.parametrize.register_parametrization",
    "ofa.paths.write_atomic",
    "ofa.paths.os.unlink",
    "ofa.models.lenet.nn.Module.apply",
    "ofa.data.augment.torch.load",
    "ofa.data.loading.Path",
    "ofa.data.dataset.Dataset",
    "search.app.main.main",
    "search.app.launch.launch",
    "search.objects.make",
    "search.device.runtime.make_runtime",
    "search.device.runtimes.ncnn._said_by",
    "search.device.runtimes.ncnn.subprocess.run",
    "search.device.runtimes.OnnxRuntime.write",
    "search.run.stages.remove_output",
    "search.run.stages.shutil.rmtree",
    "hydra.utils.instantiate",
    "hydra.utils.get_method",
    "functools.partial",
    "omegaconf.OmegaConf.register_new_resolver",
    "outputs.run.evil.run",
    "evil",
]


def stored_targets() -> set[str]:
    """Every `_target_` of the groups whose configuration is read back from a run's files."""
    files = [path for group in STORED_GROUPS for path in (conf_dir() / group).rglob("*.yaml")]
    return set().union(*(targets_in(yaml.safe_load(path.read_text())) for path in files))


def test_our_own_configurations_need_no_trust() -> None:
    targets = stored_targets()
    assert {"ofa.data.hub", "ofa.SpaceRules", "torch.optim.SGD", "ofa.models.ResNet"} <= targets
    for target in sorted(targets):
        check_stored({"part": {"_target_": target}}, TOOLKIT_ALONE, SOURCE)


@pytest.mark.parametrize(
    "target",
    [
        *("torch.nn.Conv2d", "torch.nn.modules.linear.Linear", "torch.optim.AdamW", "torch.nn.functional.silu"),
        *("torch.optim.lr_scheduler.StepLR", "ofa.models.mobilenet.InvertedResidual"),
    ],
)
def test_layers_and_optimizers_of_pytorch_need_none(target: str) -> None:
    check_stored({"_target_": target}, TOOLKIT_ALONE, SOURCE)


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda one: one,
        lambda one: {"_target_": "torch.nn.Sequential", "_args_": [1, [{"deep": one}]]},
        lambda one: {"_target_": "torch.optim.SGD", "_partial_": True, "_recursive_": False, "params": one},
    ],
    ids=["alone", "in a list", "not recursive"],
)
def test_anything_else_is_refused_by_name(target: str, wrapped: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(InvalidInput) as refusal:
        check_stored(wrapped({"_target_": target, "_partial_": True}), TOOLKIT_ALONE, SOURCE)
    assert repr(target) in str(refusal.value) and "\n" not in str(refusal.value)
    assert "config.yaml" in str(refusal.value)
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert not new & {"antigravity", "setuptools", "distutils", "evil", "outputs"}


@pytest.mark.parametrize(
    "target", [None, 1, ["os", "system"], {"_target_": "os.system"}, "", "os system", "${oc.env:HOME}"]
)
def test_a_target_is_a_dotted_name(target: Any) -> None:
    with pytest.raises(InvalidInput, match=r"config\.yaml"):
        check_stored({"model": {"_target_": target}}, TOOLKIT_ALONE, SOURCE)


@pytest.mark.parametrize(
    "config",
    [
        {"data": {"path": "${oc.env:HOME}"}},
        {"data": {"path": ["a", "b ${mine:1}"]}},
        {"data": {"${oc.env:HOME}": 1}},
        {"model": {"_target_": "ofa.models.ResNet", "_args_": ["${data}"]}},
    ],
)
def test_nothing_outside_is_asked_for(config: Any) -> None:
    with pytest.raises(InvalidInput, match="must hold plain values"):
        check_stored(config, TOOLKIT_ALONE, SOURCE)


def test_deep_nesting_is_walked() -> None:
    config: Any = {"_target_": "os.system"}
    for _ in range(20_000):
        config = [config]
    with pytest.raises(InvalidInput, match=r"os\.system"):
        check_stored({"model": config}, TOOLKIT_ALONE, SOURCE)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's that has imported os, and says when it is imported itself."""
    (tmp_path / "trusted_one").mkdir()
    (tmp_path / "trusted_one/__init__.py").write_text("import os\nfrom trusted_one.nets import Net\n")
    (tmp_path / "trusted_one/nets.py").write_text("class Net:\n    @classmethod\n    def small(cls): return cls()\n")
    (tmp_path / "other_one.py").write_text("import pathlib\npathlib.Path(__file__).with_name('canary').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("trusted_one", "trusted_one.nets", "other_one"):
        sys.modules.pop(name, None)


def test_a_trusted_package_is_trusted_in_what_it_defines(package: Path) -> None:
    for target in ("trusted_one.Net", "trusted_one.nets.Net", "trusted_one.Net.small"):
        with pytest.raises(InvalidInput, match=r"add trust=\[trusted_one\]"):
            check_stored({"_target_": target}, TOOLKIT_ALONE, SOURCE)
        check_stored({"_target_": target}, Trust(("trusted_one",)), SOURCE)
    with pytest.raises(InvalidInput, match=r"add trust=\[(posix|nt)\]"):
        check_stored({"_target_": "trusted_one.os.system"}, Trust(("trusted_one",)), SOURCE)
    with pytest.raises(InvalidInput, match=r"'trusted_one\.Nets', which cannot be imported"):
        check_stored({"_target_": "trusted_one.Nets"}, Trust(("trusted_one",)), SOURCE)


def test_what_is_not_trusted_is_not_imported(package: Path) -> None:
    for trust in (TOOLKIT_ALONE, Trust(("other",)), Trust(("trusted_one",), frozenset({"other_one.b"}))):
        with pytest.raises(InvalidInput, match=r"add trust=\[other_one\]"):
            check_stored({"_target_": "other_one.a"}, trust, SOURCE)
    assert not (package / "canary").exists()


def test_a_target_of_this_command_is_trusted_alone() -> None:
    trust = Trust(targets=targets_in({"model": {"_target_": "mine.Net", "act": [{"_target_": "mine.Act"}]}}))
    check_stored({"_target_": "mine.Net", "inner": {"_target_": "mine.Act"}}, trust, SOURCE)
    with pytest.raises(InvalidInput, match=r"mine\.Other"):
        check_stored({"_target_": "mine.Other"}, trust, SOURCE)


@pytest.mark.parametrize("name", ["", "my package", "a..b", 1, None, "./a", "a.", "*"])
def test_trust_names_packages(name: Any) -> None:
    with pytest.raises(InvalidInput, match="trust="):
        Trust((name,))


def test_configurations_become_objects_in_few_places() -> None:
    """Whoever adds one has to ask whether a stored file can come there."""
    places = set()
    for path in Path(search.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module in ("hydra.utils", "hydra._internal.utils"):
                places.add(path.relative_to(search.__path__[0]).as_posix())
    assert places == {
        *("app/launch.py", "config/arguments.py", "run/trust.py"),
        *("device/runtime.py", "objects.py", "samplers/sampler_of.py"),
    }
