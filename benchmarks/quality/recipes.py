"""What is tried: each recipe of a supernet's training as overrides of `ofa train`."""

from __future__ import annotations

# As shipped before this benchmark; every other recipe changes some of these.
FORMER = {
    "train.optimizer.lr": 0.05,
    "train.strategy.label_weight": 0.5,
    "train.strategy.random_subnets": 2,
    "train.gradient_clip": 5.0,
}
BEST_OF_SINGLE_CHANGES = FORMER | {"train.optimizer.lr": 0.1, "train.strategy.label_weight": 1.0}

RECIPES: dict[str, dict[str, object]] = {
    "default": {},
    "former": FORMER,
    "labels": BEST_OF_SINGLE_CHANGES,
}


def overrides_of(recipe: str) -> tuple[str, ...]:
    """Returns a recipe's overrides as Hydra takes them."""
    return tuple(f"{'' if key.count('.') < 2 else '++'}{key}={_text(value)}" for key, value in RECIPES[recipe].items())


def _text(value: object) -> str:
    return "null" if value is None else str(value)
