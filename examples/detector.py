"""A detector of your own, with your loss: searched by mAP within a latency, and exported; some minutes on one core.

The network in examples/yolo knows nothing of a search. It is trained by `ofa.train`, or in a loop of one's own.

python examples/detector.py [epochs] [ours|own]
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from yolo.boxes import detections
from yolo.loss import yolo_loss
from yolo.network import Yolo

import ofa
import search
from ofa.data import batches, shapes
from ofa.task import detection, scores
from ofa.train import TrainSettings, train
from ofa.train.strategies import sandwich

QUICK = {"anchors": 12, "blocks": 24, "visits": 10, "seconds": 10.0, "clock": "cpu"}
DEVICE = {"name": "onnxruntime", "profile": QUICK}

data = shapes(targets="boxes", samples=1200)
task = detection(data, loss=yolo_loss, decode=detections, metrics=("map_50", "map"))


def our_loop(supernet: ofa.Supernet, epochs: int) -> None:
    """The loop of the toolkit: schedule, validation, checkpoints and all that."""
    settings = TrainSettings(optimizer=partial(torch.optim.AdamW, lr=4e-3), epochs=epochs, batch_size=32,
                             gradient_clip=10.0, validate_every=0)  # fmt: skip
    train(supernet, data, partial(sandwich, random_subnets=1, label_weight=1.0), settings, task=task)


def own_loop(supernet: ofa.Supernet, epochs: int) -> None:
    """A loop of one's own: in each step the largest, the smallest and one subnet at random learn."""
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(supernet.parameters(), lr=4e-3)
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)  # views add to it in place
    supernet.model.train()
    for epoch in range(epochs):
        for images, targets in batches(data.train, 32, seed=0, epoch=epoch):
            optimizer.zero_grad(set_to_none=False)
            for arch in (supernet.space.largest, supernet.space.smallest, supernet.space.sample(rng)):
                yolo_loss(supernet.subnet(arch, accumulate=True)(images), targets).backward()
            optimizer.step()
    supernet.model.eval()


def main(epochs: int = 12, loop: str = "ours") -> None:
    """Trains, searches by mAP within half of the largest subnet's latency, and exports what is found."""
    torch.manual_seed(0)
    supernet = ofa.Supernet(Yolo(len(data.class_names)), torch.randn(2, *data.input_shape))
    (own_loop if loop == "own" else our_loop)(supernet, epochs)
    largest = ofa.calibrate(supernet.subnet(supernet.space.largest), data.calibration(256))
    found = scores(largest, data.validation.in_order(64), task)
    print("largest:", ", ".join(f"{metric.title} {metric.text(found[metric.name])}" for metric in task.metrics))

    with tempfile.TemporaryDirectory() as outputs:
        kept = {"run": "detector", "outputs": outputs}
        profile = search.profile(supernet, DEVICE, **kept)
        (whole,) = profile.predict_archs(supernet, [supernet.space.largest])
        result = search.find(supernet, data, {"latency_ms": float(whole) / 2}, task=task, device=DEVICE, evaluations=16,
                             calibration_images=256, finalists={"seconds": 4.0, "candidates": 2}, **kept)  # fmt: skip
        print(result)

        folder = Path(outputs) / "subnet"
        card = result.extract(folder)  # model.onnx, model.safetensors, card.json ...
        net = search.load(folder, model=Yolo(len(data.class_names)))  # a plain Yolo, narrower
        images = data.test.take(torch.arange(4))[0]
        with torch.no_grad():
            maps = net(images)
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        exported = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        for one, other in zip(maps, exported, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
        score = scores(net, data.test.in_order(64), task)["map_50"]
        print(f"{len(exported)} maps equal in ONNX Runtime, {card.measured_ms:.3f} ms of {whole:.3f} ms")
        print(f"test mAP@.5 {task.metrics[0].text(score)}")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, str), sys.argv[1:], strict=False)))
