"""`transfusion compare A B`, from weight files to a page; and its refusals."""

import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from transfusion import tasks
from transfusion.cli import main
from transfusion.networks import models
from transfusion.report.two_weights import Weights
from transfusion.runs.comparisons import Probe
from transfusion.runs.machine import Machine
from transfusion.similarity.networks import across
from transfusion.spec import RepresentationSpec, TaskSpec

pytestmark = pytest.mark.training

MODEL = "cbr_tiny_small"
TRANSFORMER = "test_vit"  # timm's smallest: 64 channels, patches of 16 px


@pytest.fixture
def here(pets):
    """Pictures in two classes, and two sets of weights whose heads differ in width."""
    tmp_path = pets
    for name, num_outputs in (("a", 2), ("b", 5)):
        weights = models.build(MODEL, num_outputs, 3, 16).state_dict()
        generator = torch.Generator().manual_seed(num_outputs)
        noise = {k: 0.02 * torch.randn(v.shape, generator=generator) for k, v in weights.items() if v.ndim == 4}
        save_file({k: v + noise.get(k, 0) for k, v in weights.items()}, f"{name}.safetensors")
    save_file({"conv.weight": torch.zeros(3)}, "other.safetensors")
    return tmp_path


@pytest.fixture
def trained(here, capsys):
    """The ids of two finished runs of a study in ``studies/pets``."""
    sys.argv = ["transfusion", "study", *PETS[:-2], *"--steps 2 --schemes random --seeds 2 --workers 0".split()]
    with pytest.raises(SystemExit):
        main()
    capsys.readouterr()
    return sorted(path.name for path in Path("studies/pets/runs").iterdir())


def run(*words):
    sys.argv = ["transfusion", "compare", *words]
    main()


def code(*words):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    return stopped.value.code


PETS = ("--data", "pets", "--model", MODEL, "--image-size", "16", "--positions", "4")


def test_table_files_and_page(here, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("a.safetensors", "file:b.safetensors", *PETS, "--out", "out")
    said = capsys.readouterr()
    assert stopped.value.code == 0, said
    frame, grid = pd.read_csv("out/comparison.csv"), pd.read_csv("out/across.csv")
    assert set(frame.measure) == {"cca", "linear_cka"}
    assert all(stage in said.out for stage in frame.stage)
    assert len(grid) == frame.stage.nunique() ** 2
    page = (here / "out" / "comparison.html").read_text()
    assert "most alike at stage" in page
    assert "First-layer filters" in page


def test_the_same_weights_are_alike_and_others_are_not(here, capsys):
    shutil.copy("a.safetensors", "copy.safetensors")
    for b in ("copy", "b"):
        with pytest.raises(SystemExit):
            run("a.safetensors", f"{b}.safetensors", *PETS, "--measures", "linear_cka", "--out", b)
    same, other = (pd.read_csv(f"{b}/comparison.csv").value for b in ("copy", "b"))
    assert same.to_numpy() == pytest.approx(1)
    assert (other < 0.999).all()
    said = "A and B hold the same weights"
    assert capsys.readouterr().err.count(f"Note: {said}") == 1
    assert [said in Path(b, "comparison.html").read_text() for b in ("copy", "b")] == [True, False]


def test_every_stage_against_every_stage_is_what_the_library_gives(here):
    assert code("a.safetensors", "b.safetensors", *PETS, "--out", "out") == 0
    networks = [models.build(MODEL, num_outputs, 3, 16) for num_outputs in (2, 5)]
    for network, name in zip(networks, "ab", strict=True):
        network.load_state_dict(load_file(f"{name}.safetensors"))
    task = tasks.load(TaskSpec(data="pets", image_size=16))
    expected = across(*networks, Probe(task, "test", RepresentationSpec(), Machine(accelerator="cpu")))
    found = pd.read_csv("out/across.csv")
    assert len(found) == 25
    pd.testing.assert_frame_equal(found.drop(columns="warnings"), expected.drop(columns="warnings"), atol=1e-5)
    page = Path("out/comparison.html").read_text()
    drawn = re.findall(r"<text[^>]*>(-?\d\.\d\d)</text>", Path("out/figures/across.svg").read_text())
    assert sorted(drawn) == sorted(f"{value:.2f}" for value in expected.value)
    best = expected.loc[expected.groupby("stage_a", sort=False).value.idxmax()]
    pairs = (f"{row.stage_a} with {row.stage_b} ({row.value:.2f})" for row in best.itertuples())
    assert f"Each stage of A is most like: {', '.join(pairs)}." in page


def test_tokens_of_a_transformer_are_positions(here, capsys):
    for seed in (1, 2):
        weights = models.build(TRANSFORMER, 2, 3, 32).state_dict()
        generator = torch.Generator().manual_seed(seed)
        noisy = {k: v + 0.05 * torch.randn(v.shape, generator=generator) for k, v in weights.items()}
        save_file(noisy, f"vit{seed}.safetensors")
    given = ("--data", "pets", "--model", TRANSFORMER, "--image-size", "32", "--out", "out")
    assert code("vit1.safetensors", "vit2.safetensors", *given) == 0
    said = capsys.readouterr()
    frame = pd.read_csv("out/comparison.csv").query("measure == 'cca'").set_index("stage")
    assert list(frame.index) == ["stem", *(f"block{k}" for k in range(1, 7)), "head"]
    assert frame["images"].eq(12).all()
    assert frame["n"].drop("head").eq(12 * (1 + 4)).all(), "a class token and four patches"
    assert frame.loc["head", "n"] == 12
    told = [note for note in said.err.splitlines() if " samples are fewer than " in note]
    assert 0 < len(told) <= 6, "one line per measure and warning, not per stage"
    assert "cca at stem to block6: Saturated" in said.err
    page = Path("out/comparison.html").read_text()
    assert f"wo sets of weights of {TRANSFORMER} on 12 test images" in page
    assert "A and B at stage head: " in page
    assert "No conclusion for stem to block6: chance alone gives a cca of" in page


def test_a_run_says_which_model_and_data(trained):
    first, second = trained
    folder = f"studies/pets/runs/{first}"
    ways = [
        f"run:{first}",
        f"run:{first[:5]}",
        folder,
        f"{folder}/after.safetensors",
        f"file:{folder}/after.safetensors",
    ]
    assert {Weights.named(way) for way in ways} == {Weights.named(folder)}
    assert code(f"run:{first}", "a.safetensors", "--out", "one") == 0
    assert code("a.safetensors", f"studies/pets/runs/{second}", "--positions", "4", "--out", "two") == 0
    one, two = (pd.read_csv(f"{out}/comparison.csv") for out in ("one", "two"))
    assert list(one.stage) == list(two.stage)
    assert set(one.images) == {12}


def test_runs_without_weights_and_runs_that_are_not_there(trained, capsys):
    first, second = trained
    folder = Path("studies/pets/runs", first)
    (folder / "after.safetensors").unlink()
    refused = {
        (f"run:{first}", f"run:{second}"): f"Run {first} has no after.safetensors .*not kept",
        (str(folder), f"run:{second}"): f"Run {first} has no after.safetensors .*not kept",
        ("run:zzz", f"run:{second}"): "No finished run starts with 'zzz' in the studies of .*studies",
        ("run:", f"run:{second}"): "no donor 'run:'",
        ("studies/pets", f"run:{second}"): "a folder, but not that of a run",
        (f"run:{second}", f"studies/pets/runs/{second}"): "A and B are the same weights",
    }
    for words, message in refused.items():
        assert code(*words) == 2
        assert re.match(f"transfusion: .*{message}.*\n$", capsys.readouterr().err), words
    (folder / "result.json").unlink()
    assert code(str(folder), f"run:{second}") == 2
    assert "it is not finished" in capsys.readouterr().err
    assert code(str(folder / "before.safetensors"), f"run:{second}") == 0


def test_few_images_and_measures_named_twice(here, capsys):
    for images in (2, 3):
        given = ("--images", str(images), "--measures", "pwcca,cca,pwcca", "--out", "out")
        assert code("a.safetensors", "b.safetensors", *PETS, *given) == 0
        page = Path("out/comparison.html").read_text()
        assert "No two stages have a debiased CKA: it takes four images" in page
    assert list(pd.read_csv("out/comparison.csv").measure[:2]) == ["pwcca", "cca"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.safetensors", "gone.safetensors", *PETS), "no weight file or folder of a run at gone.safetensors"),
        (("a.safetensors", "other.safetensors", *PETS), f"B = other.safetensors as {MODEL}: .* does not fit"),
        (("a.safetensors", "b.safetensors", *PETS[:3], "resnet18", *PETS[4:]), "A = a.safetensors as resnet18"),
        (("resnet18", "b.safetensors", *PETS), "no weight file .* at resnet18.*torchvision:NAME"),
        (("a.safetensors", "file:a.safetensors", *PETS), "A and B are the same weights"),
        (("a.safetensors", "b.safetensors", *PETS, "--images", "0"), "images: input should be .* 2 .got 0"),
        (("a.safetensors", "b.safetensors", *PETS, "--out", "a.safetensors"), "Cannot write .*--out"),
        (("a.safetensors", "b.safetensors", *PETS[:3], "resnet51"), "no model 'resnet51'"),
        (("a.safetensors", "b.safetensors", "--data", "pets"), "Both --model and --data are needed"),
        (("a.safetensors", "b.safetensors", *PETS, "--measures", "ccaa"), "no measure 'ccaa'"),
        (("a.safetensors", "b.safetensors", *PETS, "--stages", "layer9"), "no stage .*'layer9'"),
    ],
)
def test_refusals(here, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("transfusion: ")]
    assert stopped.value.code == 2
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]


class Idle(nn.Sequential):
    """A network with a stage that no image passes through."""

    def __init__(self, num_outputs, channels):
        super().__init__()
        self.used = nn.Conv2d(channels, 4, 3)
        self.unused = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, num_outputs)

    def forward(self, images):
        return self.head(self.used(images).mean(dim=(2, 3)))


def test_a_stage_that_is_left_out_is_a_note_of_the_page(here, capsys, monkeypatch):
    known = models.construct
    monkeypatch.setattr(
        models, "construct", lambda name, n, c, s: Idle(n, c) if name == "idle" else known(name, n, c, s)
    )
    for name in ("a", "b"):
        save_file(Idle(2, 3).state_dict(), f"{name}.safetensors")
    data = ("--data", "pets", "--model", "idle", "--image-size", "16")
    assert code("a.safetensors", "b.safetensors", *data, "--out", "page") == 0
    said = capsys.readouterr()
    page = next(Path("page").rglob("comparison.html")).read_text(encoding="utf-8")
    for text in (page, said.out + said.err):
        assert "gave no output" in text
        assert "It is left out." in text
    assert "UserWarning" not in said.err
