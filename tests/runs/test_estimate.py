"""Time and disk of a study, before it begins."""

from dataclasses import replace

import pytest
from paces import PACE

from transfusion.runs.estimate import Estimate, Part, comparing_s, page_s
from transfusion.runs.machine import Machine
from transfusion.spec import DonorRunSpec, RepresentationSpec, RunSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = pytest.mark.training

FUNDUS = TaskSpec(data="embedded:fundus", image_size=16, num_images=(40, 8, 24))
ONE_THREAD = Machine(accelerator="cpu", threads=1)
TRAIN = TrainSpec(steps=4, batch_size=8, eval_every=2, precision="float32")


def runs(num):
    return [RunSpec(task=FUNDUS, model="cbr_tiny_small", seed=seed, train=TRAIN) for seed in range(num)]


def part(num, workers, done=None):
    return Part(runs(num), done or {}, PACE, start_s=3, workers=workers)


def test_a_run_is_its_beginning_its_steps_and_its_evaluations():
    assert part(1, 1).run_s == [1 + 4 * 2 + 3 * 10 * 0.5]
    (half,) = runs(1)
    assert part(1, 1, {half.id: 2}).run_s == [1 + 2 * 2 + 2 * 10 * 0.5]


def test_runs_share_the_workers():
    each = part(1, 1).run_s[0]
    assert part(4, 1).time_s == 3 + 4 * each
    assert part(4, 2).time_s == 3 + 2 * each
    assert part(3, 2).time_s == 3 + 2 * each
    assert part(1, 0).time_s == 3 + each


def test_a_study_is_the_sum_of_what_it_does_one_after_the_other():
    whole = Estimate((part(1, 1), part(4, 2)), compare_s=5, page_s=7)
    assert whole.time_s == part(1, 1).time_s + part(4, 2).time_s + 5 + 7
    assert whole.num_runs == 5
    assert whole.disk > 5 * 2 * PACE.weights


def test_comparisons_grow_with_networks_and_pairs():
    settings, couple = RepresentationSpec(images=10), runs(2)
    alone = comparing_s(settings, couple, PACE, 1)
    assert comparing_s(settings, couple, PACE, 2) == alone / 2
    assert comparing_s(settings, couple, replace(PACE, pair_s=1.0), 1) > alone
    assert comparing_s(settings, runs(4), PACE, 1) > 2 * alone


def test_a_page_fits_gabors_to_every_first_layer_once():
    copied = [run.with_values(scheme={"name": "pretrained"}) for run in runs(3)]
    drawn = [run.with_values(scheme={"name": "random"}) for run in runs(3)]
    plain = page_s([*copied, *drawn], PACE)
    assert page_s([*copied, *drawn], replace(PACE, fit_s=1.0)) - plain == pytest.approx(1 + 3 + 2 * 6)


@pytest.fixture
def study(tmp_path):
    donor = DonorRunSpec(task=FUNDUS.with_values(data="embedded:natural"), train=TRAIN)
    values = {"task": FUNDUS, "model": "cbr_tiny_small", "donor": donor, "seeds": (0, 1), "train": TRAIN}
    return Study(StudySpec(**values), tmp_path / "study", cache=tmp_path / "cache")


def test_three_steps_are_timed_and_nothing_is_written(study, tmp_path):
    found = study.estimate(machine=ONE_THREAD, workers=0)
    assert [len(part.runs) for part in found.parts] == [1, 6]
    assert all(part.pace.step_s > 0 and part.pace.image_s > 0 for part in found.parts)
    assert [part.pace.num_held_out for part in found.parts] == [32, 32]  # test and validation
    assert found.time_s > sum(found.parts[1].run_s)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_what_is_finished_takes_no_time(study):
    study.run(machine=ONE_THREAD, workers=0, progress=False)
    done = study.estimate(machine=ONE_THREAD, workers=0)
    assert (done.num_runs, done.parts) == (0, ())


def test_a_donor_from_a_file_is_written_by_the_study_and_not_by_its_plan(study, tmp_path):
    from transfusion.networks import models
    from transfusion.runs.store import write_weights

    write_weights(tmp_path / "donor.safetensors", models.build("cbr_tiny_small", 5, 3, 16).state_dict())
    spec = study.spec.with_values(donor=f"file:{tmp_path / 'donor.safetensors'}", seeds=(0,), schemes=("pretrained",))
    taught = Study(spec, tmp_path / "taught", cache=tmp_path / "cache")
    taught.plan()
    assert not (tmp_path / "taught").exists()
    assert taught.run(machine=ONE_THREAD, workers=0, progress=False).failed == {}
    assert len(list((tmp_path / "taught" / "donors").glob("*.safetensors"))) == 1
