"""The live page of a run: what is being done, how far it is and how good, in one small file that reloads itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path

import msgspec

from ofa.paths import write_atomic
from search.report.document import DARK, LIGHT, Section, section_html, series_color
from search.run.progress import duration, observed_by

SECONDS_BETWEEN = 2.0  # times that the page is written, and that it reloads itself
MOST_POINTS = 400  # of a curve; of more every second one is left out
WIDTH, HEIGHT, LEFT, TOP = 520, 220, 76, 14  # pixels of a picture, and of its axes
STAGES = '<script type="application/json" id="stages">'  # before what the page holds for the next process
OVER = "step"  # points with it are on curves over it; others are pairs: what is on the x axis, what is on the y axis,
QUALITY = "quality"  # beside how good they are, the more the better


@dataclass
class StageProgress:
    """How far one stage is, and its points so far."""

    began: float
    first: int
    done: int = 0
    total: int = 0
    figures: str = ""
    seconds: float = 0.0
    points: list[Mapping[str, float | None]] = field(default_factory=list)


class LivePage:
    """Writes the page of a run as its stages advance, at most every two seconds and at the end of each stage.

    What the page there says of stages stays on it, so that a training that resumes has its whole curve.
    """

    def __init__(self, path: Path, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._title, self._clock = path, title, clock
        self._stages = stages_of(path)
        self._earlier = set(self._stages)  # of other processes
        self._written = -SECONDS_BETWEEN

    def __call__(self, stage: str, done: int, total: int, figures: str, point: Mapping[str, float | None]) -> None:
        """Takes note of the progress of a stage."""
        now = self._clock()
        row = self._stages.setdefault(stage, StageProgress(now, done))
        if stage in self._earlier or row.done > done:  # the same work goes on, or is done for another network
            self._earlier.discard(stage)
            del self._stages[stage]  # it is the last one now
            row = self._stages[stage] = StageProgress(now, done, points=_before(row.points, done))
        row.done, row.total, row.seconds = done, total, now - row.began
        row.figures = figures.replace(f"{self._path.parent}/", "")  # a run may be moved
        if point:
            row.points.append(point)
            row.points[:] = row.points if len(row.points) <= 2 * MOST_POINTS else row.points[::2]
        if now - self._written >= SECONDS_BETWEEN or done == total:
            self._written = now
            self.write()

    def write(self, ended: str = "") -> None:
        """Writes the page; `ended` says how the work ended, after which it no longer reloads itself.

        Work that was refused before any stage of it advanced leaves the page as it is.
        """
        if self._stages.keys() - self._earlier and self._path.parent.is_dir():
            write_atomic(self._path, live_page(self._title, self._stages, ended).encode())


def _before(points: Sequence[Mapping[str, float | None]], done: int) -> list[Mapping[str, float | None]]:
    """The points of work that has `done` so many steps now: of a curve those of earlier steps, else one a step."""
    if any(OVER in point for point in points):
        return [point for point in points if (point.get(OVER) or 0) < done]
    return list(points[: max(0, done - 1)])


def stages_of(path: Path) -> dict[str, StageProgress]:
    """Returns what a live page says of stages; none where there is no page, or no such one."""
    try:
        _, _, rest = path.read_text(encoding="utf-8").partition(STAGES)
        return msgspec.json.decode(rest.partition("</script>")[0], type=dict[str, StageProgress])
    except (OSError, ValueError, RecursionError):
        return {}


@contextmanager
def live(path: Path, title: str) -> Iterator[None]:
    """Keeps the live page of the work in the block at `path`, whose folder that work makes.

    Work that fails and leaves nothing else in a folder of its own leaves no page, either.
    """
    page, made = LivePage(path, title), [folder for folder in path.parents if not folder.exists()]
    try:
        with observed_by(page):
            yield
    except Exception:
        page.write("failed")
        if made and [*path.parent.glob("*")] == [path]:
            path.unlink()
            with suppress(OSError):  # another job's files are in it
                for folder in made:
                    folder.rmdir()
        raise
    except BaseException:
        page.write("stopped")
        raise
    page.write("done")


def live_page(title: str, stages: Mapping[str, StageProgress], ended: str = "") -> str:
    """Returns the page: a line for each stage, the curves of trainings, and the front of searches."""
    rows = [
        {
            "name": name,
            "share": 100 * row.done / max(row.total, 1),
            "text": f"{row.done} of {row.total}, {duration(row.seconds)}",
            "left": "" if ended else _left(row),
            "figures": row.figures,
        }
        for name, row in stages.items()
    ]
    pictures = [picture for name, row in stages.items() for picture in _pictures(name, row.points)]
    values: dict[str, object] = {"title": title, "ended": ended, "rows": rows, "pictures": pictures}
    values["stages"] = STAGES + msgspec.json.encode(dict(stages)).decode().replace("<", "\\u003c")
    values |= {"light": LIGHT, "dark": DARK, "at": int(time.time()), "reload": int(SECONDS_BETWEEN)}
    values |= {"width": WIDTH, "height": HEIGHT, "left": LEFT, "top": TOP}
    return section_html(Section("live.html", values))


def _left(row: StageProgress) -> str:
    here = row.done - row.first  # without what a resumed stage had done before
    if row.done >= row.total or here <= 0:
        return ""
    return f"{duration(row.seconds / here * (row.total - row.done))} left"


def _pictures(stage: str, points: Sequence[Mapping[str, float | None]]) -> list[dict[str, object]]:
    names = list(dict.fromkeys(name for point in points for name in point))
    if OVER in names:
        curves = {name: _known(points, OVER, name) for name in names if name != OVER}
        losses = {name: pairs for name, pairs in curves.items() if "loss" in name}
        scores = {name: pairs for name, pairs in curves.items() if name not in losses}
        return [_curves(stage, some) for some in (losses, scores) if any(some.values())]
    if len(names) != 3 or names[-1] != QUALITY:
        return []
    across, up, _ = names
    pairs, best, front = _known(points, across, up), float("-inf"), []
    for point in sorted(points, key=lambda point: point.get(across) or 0.0):
        if (quality := point.get(QUALITY) or 0.0) > best:
            best = quality
            front.append(point)
    curves = {"candidates": pairs, "front": _steps(_known(front, across, up))}
    return [_picture(f"{stage}: {up} by {across}", across, curves, "points")] if pairs else []


def _curves(stage: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, object]:
    """A picture of curves; what all show, "accuracy, %" of "accuracy, %: largest subnet", is in its title alone."""
    shown, separator, _ = next(iter(curves)).partition(": ")
    if separator and all(name.startswith(f"{shown}: ") for name in curves):
        whose = {name.removeprefix(f"{shown}: "): pairs for name, pairs in curves.items()}
        return _picture(f"{stage}: {shown}", OVER, whose, "curve")
    return _picture(f"{stage}: {', '.join(curves)}", OVER, curves, "curve")


def _steps(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the steps from one pair to the next."""
    corners = [(x, y) for (_, y), (x, _) in pairwise(pairs)]
    return [pair for pairs_here in zip_longest(pairs, corners) for pair in pairs_here if pair is not None]


def _known(points: Sequence[Mapping[str, float | None]], across: str, up: str) -> list[tuple[float, float]]:
    pairs = [(point.get(across), point.get(up)) for point in points]
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    return known[:: max(1, len(known) // MOST_POINTS)] if across == OVER else known


def _picture(
    title: str, across: str, curves: Mapping[str, Sequence[tuple[float, float]]], kind: str
) -> dict[str, object]:
    pairs = [pair for points in curves.values() for pair in points]
    (left, right), (low, high) = (_ends([pair[axis] for pair in pairs]) for axis in (0, 1))

    def point(x: float, y: float) -> tuple[str, str]:
        inside_x, inside_y = (x - left) / (right - left), (y - low) / (high - low)
        return f"{LEFT + inside_x * (WIDTH - LEFT - 12):.1f}", f"{TOP + (1 - inside_y) * (HEIGHT - 44 - TOP):.1f}"

    drawn = [
        {
            "name": name,
            "color": series_color(index)[1:],
            "points": [point(*pair) for pair in points],
            "line": len(points) > 1 and (kind == "curve" or name == "front"),
        }
        for index, (name, points) in enumerate(curves.items())
        if points
    ]
    numbers = {"left": f"{left:.3g}", "right": f"{right:.3g}", "low": f"{low:.3g}", "high": f"{high:.3g}"}
    return {"title": title, "across": across, "drawn": drawn, **numbers}


def _ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
