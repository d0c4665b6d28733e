"""Images per second of a whole study against the usual plain script.

The plain script: float32, contiguous format, a torch DataLoader with two workers, one run after another with every
core; once over the picture files, as most people write it, and once over pictures decoded beforehand (that time not
counted). All train such runs with the same evaluations, start-up of loaders and processes included. Ours begins with
an empty cache each time and decodes within its time, which a study of few runs feels more than one of many: it is
measured with as many runs as the script, and with five times as many. The script's runs cost the same each.

    python benchmarks/throughput.py [--steps 60] [--runs 2] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
import torchvision
from harness import alternate, table, write
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms

from transfusion.spec import SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

DATA = Path(os.environ.get("TRANSFUSION_TEST_DATA", "../shared/data")).resolve()
WEIGHTS = DATA / "squeezenet1_0-imagenet1k.safetensors"
SIDE, BATCH, LR = 96, 32, 3e-4


def picture_files() -> tuple[Dataset, Dataset]:
    """Training and test pictures, decoded whenever they are asked for."""
    transform = transforms.Compose(
        [
            transforms.Resize(SIDE),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    train_set = torchvision.datasets.ImageFolder(DATA / "chest_xray" / "train", transform)
    test_set = torchvision.datasets.ImageFolder(DATA / "chest_xray" / "test", transform)
    return train_set, test_set


def decoded() -> tuple[Dataset, Dataset]:
    """The same pictures in memory, normalised."""
    pairs = []
    for files in picture_files():
        images, labels = zip(*files, strict=True)
        pairs.append(TensorDataset(torch.stack(images), torch.tensor(labels)))
    return pairs[0], pairs[1]


def plain_script(sets: tuple[Dataset, Dataset], steps: int, runs: int) -> float:
    """What people write: seconds for all runs."""
    began = time.perf_counter()
    for seed in range(runs):
        plain_run(*sets, steps, seed)
    return time.perf_counter() - began


def plain_run(train_set: Dataset, test_set: Dataset, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    model = torchvision.models.squeezenet1_0(num_classes=2)
    state = {k: v for k, v in load_file(WEIGHTS).items() if not k.startswith("classifier")}
    model.load_state_dict(state, strict=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    train = DataLoader(train_set, BATCH, shuffle=True, num_workers=2, drop_last=True)
    test = DataLoader(test_set, 128, num_workers=2)
    done = 0
    plain_evaluate(model, test)
    while done < steps:
        for images, labels in train:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            done += 1
            if done % 30 == 0 or done == steps:
                plain_evaluate(model, test)
            if done == steps:
                break


def plain_evaluate(model: torch.nn.Module, test: DataLoader) -> float:
    model.eval()
    with torch.no_grad():
        found = [(model(images).softmax(1)[:, 1], labels) for images, labels in test]
    model.train()
    scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return float(roc_auc_score(labels, scores))


def our_study(steps: int, runs: int) -> float:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        spec = StudySpec(
            task=TaskSpec(data=str(DATA / "chest_xray"), image_size=SIDE, val_fraction=0.0),
            model="squeezenet1_0",
            donor=f"file:{WEIGHTS}",
            schemes=(SchemeSpec(name="pretrained", batch_norm="pretrained"),),
            seeds=tuple(range(runs)),
            train=TrainSpec(steps=steps, batch_size=BATCH, lr=LR, eval_every=30),
        )
        outcome = Study(spec, Path(folder) / "study", cache=Path(folder) / "cache").run(progress=False)
        assert not outcome.failed, outcome.failed
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    steps, runs = asked.steps, asked.runs
    contenders = {
        "plain script": (partial(plain_script, picture_files()), runs),
        "plain script, decoded before": (partial(plain_script, decoded()), runs),
        f"transfusion study of {runs} runs": (our_study, runs),
        f"transfusion study of {5 * runs} runs": (our_study, 5 * runs),
    }
    timed = {name: (lambda f=f, num=num: num * steps * BATCH / f(steps, num)) for name, (f, num) in contenders.items()}
    measured = alternate(timed, asked.repeats)
    write(
        "throughput",
        "Training images per second of a whole study",
        f"SqueezeNet 1.0 at {SIDE} px on chest_xray, runs of {steps} steps of {BATCH} images, {runs} of the script, "
        "test AUC on 640 images every 30 steps; decoding, evaluation and start-up included.",
        table(measured, "plain script", "images/s", higher_is_better=True),
    )


if __name__ == "__main__":
    main()
