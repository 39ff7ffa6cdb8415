"""What the reader of a page has besides a run: code and configs of their own, data, and weights."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import torch
from hydra.utils import instantiate
from safetensors.torch import save_file

from ofa.randomize import randomize_
from search.objects import make_model
from tests.composed import composed
from tests.documentation import PAGES, ROOT, named_files
from tests.stored_data import COUNT, encoded, stored, write_parquet

CLASSES = 2  # of the stored images


def reader_configs() -> dict[str, str]:
    """Returns the configs that the pages show or name, by path."""
    device = (ROOT / "conf/device/onnxruntime.yaml").read_text().replace("name: onnxruntime", "name: laptop")
    files = {
        "my_conf/data/flowers.yaml": "dataset: {_target_: ofa.data.hub, path: /data/flowers, label_column: class}\n"
        "defaults: [_self_, augment: null]\n",
        "my_conf/device/laptop.yaml": device,
    }
    for path in PAGES:
        files |= {name: text for name, text in named_files(path).items() if name.startswith("my_conf/")}
    return files


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    """Writes files by path."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def write_code(folder: Path, page: Path) -> None:
    """Writes the configs of all pages, and my_package.py: a page's own, or that of the tutorial on your model."""
    of_tutorial = named_files(ROOT / "docs/tutorials/your_model.md")["my_package.py"]
    texts = reader_configs() | {"my_package.py": of_tutorial} | named_files(page)
    write_texts(folder, {name: text.replace("/data/", f"{folder}/") for name, text in texts.items()})


def write_data(folder: Path) -> None:
    """Writes data sets under the names that the pages give them."""
    for name, data in {"mnist": "mnist", "cifar10": "cifar10", "my_folder": "parquet"}.items():
        (folder / name).mkdir()
        stored(folder / name, data)
    (folder / "flowers").mkdir()
    rows = [
        {"image": {"bytes": picture(row), "path": None}, "label": row % CLASSES, "class": row % CLASSES}
        for row in range(COUNT)
    ]
    for split in ("train", "test"):
        write_parquet(folder / f"flowers/{split}.parquet", rows)
    stored(folder / "my_images", "imagefolder")
    (folder / "my_shards").mkdir()
    with tarfile.open(folder / "my_shards/train-000.tar", "w") as tar:
        for row in range(COUNT):
            add(tar, f"{row:03}.jpg", picture(row))
            add(tar, f"{row:03}.cls", str(row % CLASSES).encode())


def picture(row: int) -> bytes:
    """Returns an image in the bytes of a file."""
    from PIL import Image

    return encoded(Image.new("RGB", (16, 16), (row, 2 * row, 255 - row)))


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Adds a file to an archive."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def write_weights(verb: str, overrides: Sequence[str]) -> None:
    """Writes the files of weights that a command names, for the model and the data that it names."""
    names = dict(word.split("=", 1) for word in overrides if "=" in word)
    plain = [word for word in overrides if not word.lstrip("+").startswith(("start", "teacher", "--"))]
    for key in ("start.path", "teacher.weights"):
        if key not in names:
            continue
        config = composed(verb, *(word for word in overrides if not word.startswith("--")))
        data_config = config.data if config.get("data") else composed("train", "experiment=tiny").data
        model = config.model if key == "start.path" else config.teacher.model
        if model is None:
            model = composed("train", *plain).model
        data = instantiate(data_config.dataset)
        weights = randomize_(make_model(model, data.input_shape, data.num_outputs), 0).state_dict()
        if names[key].endswith(".safetensors"):
            save_file(weights, names[key])
        else:
            torch.save(weights, names[key])
