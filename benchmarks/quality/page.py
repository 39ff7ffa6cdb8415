"""The tables of the benchmark, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.pruning.cells import markdown
from benchmarks.quality.figures import Comparison, Row, compare, rank_correlation
from benchmarks.quality.problems import PROBLEMS, Problem


def tables(rows: Sequence[Row]) -> str:
    """Returns a table of recipes for each problem that was tried, and one of what supernets cost."""
    tried = [problem for name, problem in PROBLEMS.items() if any(row["problem"] == name for row in rows)]
    parts = [f"### {problem.title}\n\n{_recipes(rows, problem)}" for problem in tried]
    parts += ["### Cost\n\n" + _costs(rows, tried)]
    further = {"Fine-tuned alone for a tenth of the epochs": _finetuned(rows), "Ranks": _ranks(rows)}
    return "\n\n".join([*parts, *(f"### {title}\n\n{table}" for title, table in further.items() if table)])


def _recipes(rows: Sequence[Row], problem: Problem) -> str:
    ours = [row for row in rows if row["problem"] == problem.name and row["net"] == "supernet"]
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in ours):
        of_recipe = [row for row in ours if row["recipe"] == recipe]
        scores = [
            problem.scale * statistics.fmean(column) for column in zip(*(r["test"] for r in of_recipe), strict=True)
        ]
        seconds = statistics.fmean(row["training_cpu_seconds"] for row in of_recipe)
        found = compare(rows, problem.name, recipe, problem.scale)
        seeds = ", ".join(str(row["seed"]) for row in of_recipe)
        lines.append(
            [
                recipe,
                seeds,
                f"{statistics.fmean(scores):.2f}",
                *(f"{s:.2f}" for s in scores),
                _difference(found),
                _worst(found),
                f"{seconds:.0f}",
            ]
        )
    for rate in sorted({row["rate"] for row in rows if row["problem"] == problem.name and row["net"] == "alone"}):
        lines.append(_alone(rows, problem, rate))
    archs = max((len(row["test"]) for row in ours), default=0)
    header = ["recipe", "seeds", "mean", "largest", "smallest", *(f"Arch {i}" for i in range(3, archs + 1))]
    return markdown([*header, "against alone", "worst Arch", "CPU s"], lines)


def _alone(rows: Sequence[Row], problem: Problem, rate: float) -> list[str]:
    found = [row for row in rows if row["problem"] == problem.name and row["net"] == "alone" and row["rate"] == rate]
    archs = sorted({row["arch"] for row in found})
    scores = [problem.scale * statistics.fmean(row["test"] for row in found if row["arch"] == i) for i in archs]
    seconds = sum(statistics.fmean(row["training_cpu_seconds"] for row in found if row["arch"] == i) for i in archs)
    seeds = ", ".join(map(str, sorted({row["seed"] for row in found})))
    return [
        f"each alone, rate {rate:g}",
        seeds,
        f"{statistics.fmean(scores):.2f}",
        *(f"{s:.2f}" for s in scores),
        "",
        "",
        f"{seconds:.0f} in all",
    ]


def _difference(found: Comparison | None) -> str:
    if found is None:
        return "-"
    return f"{found.mean:+.2f}" + ("" if found.error is None else f" ± {found.error:.2f}")


def _worst(found: Comparison | None) -> str:
    return "-" if found is None else f"{min(found.by_arch):+.2f}"


def _costs(rows: Sequence[Row], problems: Sequence[Problem], counts: Sequence[int] = (1, 2, 4, 8, 16)) -> str:
    lines = []
    for problem in problems:
        recipes = dict.fromkeys(
            row["recipe"] for row in rows if row["problem"] == problem.name and row["net"] == "supernet"
        )
        found = [each for each in (compare(rows, problem.name, name, problem.scale) for name in recipes) if each]
        if found:
            best = max(found, key=lambda each: (len(each.seeds), each.mean))
            ratios = [f"{count * best.alone_seconds / best.supernet_seconds:.2f}" for count in counts]
            lines.append([problem.title, f"{best.pays_from:.1f}", *ratios])
    return markdown(["problem", "pays from N", *(f"N = {count}" for count in counts)], lines)


def _finetuned(rows: Sequence[Row]) -> str:
    """The gain by fine-tuning each Arch, and its CPU time for all of them, mean over seeds."""
    tuned = [row for row in rows if row["net"] == "finetuned"]
    lines = []
    for problem, recipe, rate in dict.fromkeys((row["problem"], row["recipe"], row["rate"]) for row in tuned):
        found = [row for row in tuned if (row["problem"], row["recipe"], row["rate"]) == (problem, recipe, rate)]
        before = {
            row["seed"]: row["test"]
            for row in rows
            if row["net"] == "supernet" and row["problem"] == problem and row["recipe"] == recipe
        }
        scale, seeds = PROBLEMS[problem].scale, {row["seed"] for row in found}
        gain = statistics.fmean(scale * (row["test"] - before[row["seed"]][row["arch"]]) for row in found)
        compared = compare(rows, problem, recipe, scale)
        after = "-" if compared is None or set(compared.seeds) != seeds else f"{compared.mean + gain:+.2f}"
        seconds = sum(row["training_cpu_seconds"] for row in found) / len(seeds)
        name = PROBLEMS[problem].title
        lines.append([name, recipe, f"{rate:g}", str(len(seeds)), f"{gain:+.2f}", after, f"{seconds:.0f}"])
    header = ["problem", "recipe", "rate", "seeds", "gain", "against alone", "CPU s of all"]
    return markdown(header, lines) if lines else ""


def _ranks(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if row["net"] != "ranked":
            continue
        alone = {
            r["arch"]: r["test"]
            for r in rows
            if r["net"] == "ranked alone" and r["problem"] == row["problem"] and r["seed"] == row["seed"]
        }
        if len(alone) == len(row["test"]):
            tau = rank_correlation(row["test"], [alone[i] for i in sorted(alone)])
            lines.append(
                [PROBLEMS[row["problem"]].title, row["recipe"], str(row["seed"]), str(len(alone)), f"{tau:.2f}"]
            )
    return markdown(["problem", "recipe", "seed", "Archs", "Kendall's tau"], lines) if lines else ""
