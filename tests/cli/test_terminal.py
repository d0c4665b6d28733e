"""What the terminal says: short by default, at 80 columns, and with a command that can be pasted."""

import re
import shlex

import pytest
from click.testing import CliRunner
from paces import PACE
from planted import Planted

from transfusion import cli
from transfusion.cli import terminal
from transfusion.cli.options import with_options
from transfusion.runs.estimate import Estimate, Part
from transfusion.spec import RunSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study
from transfusion.verdict import conclude

pytestmark = pytest.mark.training

FASTER = Planted({"random": 1.0, "pretrained": 3.0}, tops={"pretrained": 0.93}, num_seeds=5, noise=0.002, budget=720)
UNDECIDED = Planted({"random": 1.0, "pretrained": 1.0}, tops={}, num_seeds=3, noise=0.02, spread=0.3, budget=720)
SHORT = Planted({"random": 1.0, "pretrained": 3.0}, tops={}, num_seeds=5, noise=0.001, budget=60)
FIRST = Planted({"random": 1.0, "pretrained": 3.0}, tops={}, num_seeds=2, noise=0.002, budget=720)
QUICK = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")


def told(folder, planted, *, details=False):
    verdict = conclude(planted.frame(0))
    return verdict, list(terminal.said(Study(StudySpec(), folder), verdict, details=details))


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize("planted", [FASTER, UNDECIDED, SHORT, FIRST])
def test_it_ends_with_a_command_that_the_program_takes(tmp_path, planted):
    verdict, lines = told(tmp_path / "a study", planted)
    (step,) = verdict.about("next")
    assert " ".join(" ".join(lines).split()).startswith(verdict.statements[0].text)
    if step.option is None:
        assert not lines[-1].startswith("  transfusion")
        return
    _, name, folder, *options = shlex.split(lines[-1])
    assert (name, folder) == ("study", str(tmp_path / "a study"))
    given = cli.study.make_context("study", [folder, *options]).params
    values = {key: given[key] for key in ("steps", "eval_every", "sizes", "seeds", "representations")}
    assert with_options(StudySpec(), values, given["settings"]) != StudySpec()


@pytest.mark.parametrize("planted", [FASTER, UNDECIDED, SHORT, FIRST])
def test_lines_fit_eighty_columns_and_details_are_more(tmp_path, planted):
    verdict, short = told(tmp_path, planted)
    _, long = told(tmp_path, planted, details=True)
    wide = [line for line in "\n".join([*short, *long]).splitlines() if len(line) > 80]
    assert [line for line in wide if not line.startswith("  transfusion")] == []
    assert len(short) < len(long)
    squeezed = " ".join(" ".join(long).split())
    assert all(" ".join(one.text.split()) in squeezed for one in verdict.statements)


def test_the_estimate_is_a_line():
    runs = [RunSpec(task=TaskSpec(), model="cbr_tiny_small", seed=seed, train=QUICK) for seed in range(4)]
    said = terminal.cost(Estimate((Part(runs, {}, PACE, 3, 2),), page_s=7))
    assert said == "About 58 s: 4 trainings of 24 s, 2 side by side, 7 s for the page; 19 MB on disk."
    assert terminal.cost(Estimate(())) == "Every training is finished."


def test_a_dry_run_tells_all_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFUSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = "study --data embedded:fundus --model cbr_tiny_small --schemes random,kaiming --image-size 16 --steps 4"
    more = "--batch-size 8 --workers 0 --dry-run --set task.num_images=[40,8,24]"
    shown = CliRunner().invoke(cli.transfusion, [*words.split(), *more.split()], catch_exceptions=False)
    assert shown.exit_code == 0
    for expected in ("2 starts x 3 seeds x all images: 6 trainings", "40 train, 8 val, 24 test", "train.steps = 4"):
        assert expected in shown.output
    assert re.search(r"About \d+ (s|min).*: 6 trainings", shown.output)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_study_says_what_it_takes_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFUSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    words = "study --data embedded:fundus --model cbr_tiny_small --schemes random --seeds 1 --image-size 16 --steps 4"
    more = "--batch-size 8 --workers 0 --set task.num_images=[40,8,24] --out s"
    first = CliRunner().invoke(cli.transfusion, [*words.split(), *more.split()], catch_exceptions=False)
    assert first.stderr.index("About") < first.stderr.index("run 1/1")
    again = CliRunner().invoke(cli.transfusion, [*words.split(), *more.split()], catch_exceptions=False)
    assert "About" not in again.stderr
