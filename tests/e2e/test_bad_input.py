"""Every kind of bad input: one line that says what to do, exit code 2, and nothing lost."""

import pickle
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from transfusion.cli import main

pytestmark = pytest.mark.slow


class Innocent:
    """Stands for anything that only free unpickling could load."""


@pytest.fixture
def here(pets):
    """A folder with a little of everything that people have lying about."""
    tmp_path, draw = pets, np.random.default_rng(1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "lonely" / "only").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "lonely" / "only" / "a.png")
    (tmp_path / "torn" / "a").mkdir(parents=True)
    (tmp_path / "torn" / "b").mkdir(parents=True)
    for name in ("a", "b"):
        for i in range(6):
            Image.fromarray(draw.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
                tmp_path / "torn" / name / f"{name}{i}.jpeg"
            )
    whole = (tmp_path / "torn" / "a" / "a1.jpeg").read_bytes()
    (tmp_path / "torn" / "a" / "a1.jpeg").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "unlabelled.npz", train_images=np.zeros((4, 8, 8, 3), np.uint8))
    (tmp_path / "broken.yaml").write_text("train: [1")
    (tmp_path / "unknown.yaml").write_text("stepz: 3")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "text.safetensors").write_text("not weights")
    torch.save({"model": Innocent()}, tmp_path / "pickled.pth", pickle_module=pickle)
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


def run(*words):
    sys.argv = ["transfusion", *words]
    main()


PETS = ("study", "--data", "pets", "--model", "cbr_tiny_small", "--image-size", "16", "--steps", "2")
LONE = (*PETS, "--schemes", "random")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stduy",), "No such command 'stduy'"),
        ((*LONE, "--step", "3"), "No such option.*--step"),
        ((*LONE, "--seeds", "0"), "--seeds.*0 is not in the range"),
        ((*LONE, "--lr", "fast"), "--lr.*'fast' is not a valid float"),
        ((*LONE, "--lr", "-1"), "train.lr: .*greater than 0"),
        ((*LONE, "--budget", "soon", "--until", "decided"), "--budget takes a time such as 2h.*'soon'"),
        ((*LONE, "--max-seeds", "9"), "limit --until decided; give it too"),
        ((*LONE, "--until", "decided", "--seeds", "9", "--max-seeds", "5"), "9 seeds to begin with"),
        ((*LONE, "--set", "lr"), "--set takes KEY=VALUE"),
        ((*LONE, "--set", "train.stepz=3"), "no setting 'train.stepz'"),
        ((*LONE, "--set", "trian.steps=3"), "no group of settings 'trian'"),
        ((*LONE, "--set", "seeds=[1"), "'\\[1' is not a value"),
        ((*LONE, "--sizes", "0"), "a size of 0 is neither"),
        ((*LONE, "--sizes", "1000"), "A size of 1000 was asked for, but the training split has"),
        ((*LONE, "--sizes", "few"), "--sizes takes a list"),
        ((*LONE, "--batch-norms", "none"), "batch_norms.*'identity', 'mean_var' or 'pretrained'"),
        ((*LONE, "--out", "file"), "file"),
        ((*LONE, "--set", "task.test_fraction=0"), "The test split of pets is empty"),
        ((*LONE[:4], "squeezenet1_1", *LONE[5:]), "squeezenet1_1 cannot take images of 16 px"),
        ((*LONE, "--set", "train.precision=float16", "--accelerator", "cpu"), "float16 needs a CUDA device"),
        ((*LONE, "--devices", "3"), "A batch of 32 cannot be shared by 3 devices"),
        ((*LONE, "--accelerator", "cuda", "--devices", "99"), "99 cuda devices were asked for"),
        (("study", "nonsense"), "no recipe 'nonsense'. Known: near, far"),
        (("study", "missing.yaml"), "no file or folder missing.yaml"),
        (("study", "broken.yaml"), "broken.yaml is not valid YAML"),
        (("study", "unknown.yaml"), "no setting 'stepz'"),
        (("study", "empty"), "no study in empty"),
        ((*LONE[:2], "nowhere", *LONE[3:]), "nowhere"),
        ((*LONE[:2], "empty", *LONE[3:]), "empty"),
        ((*LONE[:2], "lonely", *LONE[3:]), "class"),
        ((*LONE[:2], "torn", *LONE[3:]), "a1.jpeg.*leave_out_bad"),
        ((*LONE[:2], "unlabelled.npz", *LONE[3:]), "labels"),
        ((*LONE[:2], "embedded:fundsu", *LONE[3:]), "fundus"),
        ((*LONE[:4], "resnet51", *LONE[5:]), "no model 'resnet51'. Did you mean"),
        ((*PETS, "--schemes", "randmo"), "no scheme 'randmo'. Did you mean 'random'"),
        ((*PETS, "--schemes", "pretrained"), "need a donor and none is given: pretrained"),
        ((*PETS, "--donor", "file:gone.pth"), "gone.pth"),
        ((*PETS, "--donor", "file:text.pth"), "text.pth"),
        ((*PETS, "--donor", "file:text.safetensors"), "text.safetensors"),
        ((*PETS, "--donor", "file:pickled.pth"), "pickled.pth.*safetensors"),
        ((*PETS, "--donor", "file:other.safetensors"), "missing.*block1"),
        ((*PETS, "--donor", "ftp:thing"), "torchvision:NAME"),
        ((*PETS, "--donor", "torchvision:resnet51"), "resnet51"),
        ((*PETS, "--donor", "run:123456"), "No finished run starts with '123456'"),
        ((*PETS, "--donor", "file:other.safetensors", "--upto", "layer9"), "no stage 'layer9'"),
        (("init", "random", "--model", "cbr_tiny", "--out", "w.onnx"), "name it .safetensors, .pth or .pt"),
        (("init", "mean_var", "--model", "cbr_tiny", "--out", "w.pth"), "needs a donor: give --donor"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_two(here, capsys, words, message):
    before = sorted(path for path in here.rglob("*") if "cache" not in path.parts)
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    said = capsys.readouterr()
    assert stopped.value.code == 2, said
    lines = [line for line in said.err.splitlines() if line.startswith("transfusion: ")]
    assert len(lines) == 1, said.err
    assert "Traceback" not in said.err
    assert re.search(message, lines[0]), lines[0]
    after = sorted(path for path in here.rglob("*") if "cache" not in path.parts)
    assert set(before) <= set(after)
    assert not list(here.glob("**/runs"))
