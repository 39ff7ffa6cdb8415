"""Everything that the table says about one model, measured in one process of its own."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Collection

import torch

import ofa
from benchmarks.collection.entry import Entry
from benchmarks.judging.exact import Row, cost, counts, gradients, parity
from benchmarks.judging.rival import removed_by_torch_pruning
from benchmarks.judging.running import exported, fault_of, to_onnx, trains

EVERY_WIDTH = ofa.SpaceRules(width_ratios=None, multiple_of=1)


def measure(entry: Entry, archs: int, seconds: float, keep: Callable[[Row], None], only: Collection[str] = ()) -> None:
    """Measures a model, and hands the row on after every step, so that a step that never ends costs only itself.

    Args:
        entry: of the collection. archs: subnets to compare. seconds: no comparison begins after these.
        keep: called with the row so far. only: the names of the steps to take; all where empty.
    """
    row: Row = {"model": entry.name, "family": entry.family}
    torch.manual_seed(0)
    model, example = entry.make()
    inputs = ofa.Inputs(*example.args, **example.kwargs)
    original = copy.deepcopy(model)
    row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    row["faults"] = faults = {}
    keep(row)
    start = time.process_time()
    try:
        supernet = ofa.Supernet(model.eval(), inputs, EVERY_WIDTH)
    except ofa.InvalidInput as error:
        row["refused"] = str(error).splitlines()[0]
    except Exception as error:
        faults["convert"] = fault_of(error)
    row["seconds"] = round(time.process_time() - start, 2)
    keep(row)
    steps: dict[str, Callable[[], Row]] = {}
    if "refused" not in row and "convert" not in faults:
        row["supernet"] = True
        steps = {
            "counts": lambda: counts(supernet),
            "parity": lambda: parity(supernet, inputs, archs, seconds),
            "cost": lambda: cost(supernet, inputs, archs, seconds / 3),
            "gradients": lambda: {"gradients": gradients(supernet, inputs)},
            "trains": lambda: {"trains": trains(supernet, inputs)},
            "export": lambda: {"export": exported(supernet, inputs)},
            "onnx": lambda: {"onnx": to_onnx(supernet, inputs)},
        }
    steps["rival"] = lambda: {"torch_pruning": removed_by_torch_pruning(original, inputs)}
    for name, step in steps.items():
        if only and name not in only:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row |= step()
        except Exception as error:
            faults[name] = fault_of(error)
        keep(row)
    row["done"] = True
    keep(row)
