import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from transfusion import metrics
from transfusion.errors import DivergedError
from transfusion.runs.batches import Batches, augment
from transfusion.runs.machine import Machine
from transfusion.runs.store import Store
from transfusion.runs.train import Trainer, evaluate, fit, learning_rate, loss_of, predict
from transfusion.spec import RunSpec, TaskSpec, TrainSpec

pytestmark = pytest.mark.training


def network(num_outputs=2) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, num_outputs),
        )  # fmt: skip


def trainer(task, model=None, **settings) -> Trainer:
    train = TrainSpec(**{"steps": 20, "batch_size": 8, "eval_every": 5, "lr": 0.03, "precision": "float32", **settings})
    run = RunSpec(task=TaskSpec(), model="toy", train=train)
    return Trainer(Machine(accelerator="cpu").fabric("float32"), run, task, model or network(task.num_outputs))


def files_of(folder, a_trainer):
    files = Store(folder).run(a_trainer.run.id)
    files.begin(a_trainer.run, {})
    return files


@pytest.mark.parametrize(("kind", "num_outputs"), [("binary", 2), ("multiclass", 3), ("graded", 5), ("multilabel", 4)])
def test_every_kind_of_task_is_learnt(tmp_path, make_task, kind, num_outputs):
    learner = trainer(make_task(kind, num_outputs), steps=60, eval_every=25)
    files = files_of(tmp_path, learner)
    fit(learner, files, checkpoint_s=1e9)
    curve = files.curve()
    assert [row["step"] for row in curve] == [0, 25, 50, 60]
    assert curve[-1]["auc"] > 0.9
    assert curve[-1]["loss"] < curve[0]["loss"]
    assert curve[0]["train_loss"] is None
    assert {"auprc", "accuracy", "loss", "time_s"} <= set(curve[-1])
    scores, labels, patients = files.predictions()
    assert scores.shape == (48, num_outputs)
    assert len(labels) == 48
    assert patients is None


def test_the_validation_split_picks_the_predictions_that_count(tmp_path, make_task):
    learner = trainer(make_task(), steps=20, lr=1.0)  # too high: the best evaluation is not the last
    files = files_of(tmp_path, learner)
    fit(learner, files, 1e9)
    curve = files.curve()
    judged = [row["val_auc"] for row in curve]
    best = curve[judged.index(max(judged))]
    assert {"val_loss", "val_accuracy"} <= set(best)
    for step, (scores, labels, _) in ((best["step"], files.predictions()), (20, files.last_predictions())):
        recorded = next(row for row in curve if row["step"] == step)
        assert metrics.evaluate("binary", scores, labels, 1)["auc"] == pytest.approx(recorded["auc"], abs=1e-6)


def test_the_weights_that_the_validation_split_picks_are_kept(tmp_path, make_task):
    learner = trainer(make_task(), steps=20, lr=1.0)
    files = files_of(tmp_path, learner)
    fit(learner, files, 1e9)
    path, step = files.final_weights()
    assert step == files.final_step() != 20
    again = trainer(make_task(), steps=20, lr=1.0)
    for _ in range(step):
        again.train_step()
    assert all(torch.equal(load_file(path)[name], tensor) for name, tensor in again.module.state_dict().items())
    found = evaluate(again.fabric, again.model, again.task, again.held_out)
    assert np.array_equal(found.scores, files.predictions()[0])


def test_without_a_validation_split_the_last_weights_are_the_final_ones(tmp_path, make_task):
    task = make_task()
    learner = trainer(replace(task, splits={**task.splits, "val": make_task(num=0).splits["val"]}), steps=5)
    files = files_of(tmp_path, learner)
    fit(learner, files, 1e9)
    assert files.final_weights() == (files.after_path, 5)


def by_hand(model, images, side, to_scores):
    """Mean scores of ten crops, cut one by one."""
    height = images.shape[-1]
    far, middle = height - side, round((height - side) / 2)
    corners = [(0, 0), (0, far), (far, 0), (far, far), (middle, middle)]
    crops = [images[:, :, top : top + side, left : left + side] for top, left in corners]
    mirrored = [images.flip(3)[:, :, top : top + side, left : left + side] for top, left in corners]
    return torch.stack([to_scores(model(crop)) for crop in crops + mirrored]).mean(dim=0)


@pytest.mark.parametrize(
    ("kind", "to_scores"), [("multilabel", torch.sigmoid), ("multiclass", lambda logits: logits.softmax(dim=1))]
)
def test_ten_crops_are_the_mean_of_ten_single_ones(make_task, kind, to_scores):
    task = make_task(kind, 3)
    model, images = network(3).eval(), torch.randn(5, 3, 17, 17)
    with torch.no_grad():
        expected = by_hand(model, images, 12, to_scores)
        found = to_scores(predict(model, images, task, 12))
        whole = to_scores(predict(model, images, task))
    torch.testing.assert_close(found, expected)
    assert (whole - expected).abs().max() > 1e-3


def test_ten_crops_of_outputs_far_from_zero_stay_finite(make_task):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    with torch.no_grad():
        for kind in ("multilabel", "multiclass"):
            assert predict(model, torch.full((2, 3, 12, 12), 1e4), make_task(kind, 3), 8).isfinite().all()


def test_a_run_is_judged_by_ten_crops_and_trains_on_their_side(tmp_path, make_task):
    task = make_task()
    side = task.image_size - 4
    learner = trainer(task, steps=10, ten_crop=side, augment="flip")
    seen = []
    learner.module.register_forward_pre_hook(lambda _, images: seen.append(images[0].shape))
    files = files_of(tmp_path, learner)
    fit(learner, files, 1e9)
    assert {shape[2:] for shape in seen} == {(side, side)}
    learner.module.eval()
    with torch.no_grad():
        images = learner.held_out.normalise(learner.held_out.get(np.arange(len(learner.held_out)))[0])
        expected = by_hand(learner.module, images, side, lambda logits: logits.softmax(dim=1))
    assert np.allclose(files.last_predictions()[0], expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "flip", "crop", "pad_crop", "resized_crop", "fundus"])
def test_every_augmentation_gives_the_side_that_is_asked_for(kind):
    images = torch.rand(4, 3, 16, 16)
    whole, part = (augment(kind, images, 0, 1, slice(0, 4), side) for side in (None, 12))
    assert (whole.shape, part.shape) == ((4, 3, 16, 16), (4, 3, 12, 12))
    if kind != "resized_crop":
        centre = images[:, :, 2:14, 2:14].contiguous(memory_format=torch.channels_last)
        assert torch.equal(part, augment(kind, centre, 0, 1, slice(0, 4)))


def test_the_scores_of_every_evaluation_are_kept(tmp_path, make_task):
    learner = trainer(make_task(), steps=10)
    files = files_of(tmp_path, learner)
    assert files.scores() == {}
    fit(learner, files, 1e9)
    scores, labels = files.scores(), files.last_predictions()[1]
    assert list(scores) == [row["step"] for row in files.curve()]
    for row in files.curve():
        assert metrics.evaluate("binary", scores[row["step"]], labels, 1)["auc"] == row["auc"]


def test_without_a_validation_split_the_last_evaluation_counts(tmp_path, make_task):
    task = make_task()
    empty = replace(task.splits["val"], images=task.splits["val"].images[:0], labels=task.splits["val"].labels[:0])
    for name, splits in (("none", {**task.splits, "val": empty}), ("judged on it", task.splits)):
        split = "test" if name == "none" else "val"
        learner = trainer(replace(task, splits=splits), steps=5, eval_split=split)
        files = files_of(tmp_path / name, learner)
        fit(learner, files, 1e9)
        assert not any(key.startswith("val_") for key in files.curve()[-1])
        assert np.array_equal(files.predictions()[0], files.last_predictions()[0])
        assert not files.picked_path.exists()


def test_a_network_with_constant_outputs_is_recorded_as_collapsed(tmp_path, make_task):
    """A dead network has an AUC of one half to the digit, which alone says nothing; its outputs do."""
    dead = network(2)
    for parameter in dead.parameters():
        torch.nn.init.zeros_(parameter)
    learner = trainer(make_task(), dead, steps=5, lr=1e-9)
    files = files_of(tmp_path / "dead", learner)
    fit(learner, files, 1e9)
    assert files.curve()[-1]["collapsed"] == 1
    assert files.curve()[-1]["auc"] == 0.5
    alive = trainer(make_task(), steps=5)
    files = files_of(tmp_path / "alive", alive)
    fit(alive, files, 1e9)
    assert files.curve()[-1]["collapsed"] == 0


def test_predictions_say_which_images_show_the_same_patient(tmp_path, make_task):
    task = make_task()
    names = tuple(f"patient {number // 2}" for number in range(48))
    shared = {name: replace(split, patients=names) for name, split in task.splits.items()}
    learner = trainer(replace(task, splits=shared), steps=1)
    files = files_of(tmp_path, learner)
    fit(learner, files, 1e9)
    patients = files.predictions()[2]
    assert len(set(patients)) == 24
    assert patients[0] == patients[1] != patients[2]


def test_snapshots_are_kept_on_request_only(tmp_path, make_task):
    for wanted in (False, True):
        learner = trainer(make_task(), steps=10)
        files = files_of(tmp_path / str(wanted), learner)
        fit(learner, files, 1e9, snapshots=wanted)
        assert list(files.weights()) == ([1, 2, 5] if wanted else [])
    half_way = load_file(files.weights()[5])
    again = trainer(make_task(), steps=10)
    for _ in range(5):
        again.train_step()
    assert all(torch.equal(half_way[name], tensor) for name, tensor in again.module.state_dict().items())


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path, make_task):
    def weights(seed):
        learner = trainer(make_task())
        learner.run = learner.run.with_values(seed=seed)
        fit(learner, files_of(tmp_path / str(seed) / str(np.random.default_rng().integers(1 << 60)), learner), 1e9)
        return torch.cat([p.flatten() for p in learner.module.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


# a rate this high never lets the loss fall for long
PLATEAUS = {"schedule": "plateau", "patience": 0, "lr": 3.0, "eval_every": 2}


@pytest.mark.parametrize("settings", [{}, {"augment": "fundus", "optimizer": "sgd"}, {"optimizer": "adamw"}, PLATEAUS])
def test_a_checkpoint_at_any_step_goes_on_to_the_same_bits(tmp_path, make_task, settings):
    task = make_task()
    whole = trainer(task, **settings)
    files = files_of(tmp_path / "whole", whole)
    states = []
    files.save_checkpoint = lambda state: states.append(_copied(state))
    fit(whole, files, checkpoint_s=0)
    assert len(states) == 20
    for state in states[::3]:
        resumed = trainer(task, **settings)
        resumed.resume(state)
        again = files_of(tmp_path / str(state["step"]), resumed)
        for row in files.curve():
            again.append(row)
        again.rewind(state["step"])
        fit(resumed, again, checkpoint_s=1e9)
        for mine, theirs in zip(resumed.module.state_dict().values(), whole.module.state_dict().values(), strict=True):
            assert torch.equal(mine, theirs)
        assert list(again.scores()) == list(files.scores())
        assert [(row["step"], row["loss"], row["train_loss"]) for row in again.curve()] == [
            (row["step"], row["loss"], row["train_loss"]) for row in files.curve()
        ]


def _copied(state):
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state


def test_a_loss_that_is_not_finite_names_its_step(tmp_path, make_task):
    learner = trainer(make_task())
    step = learner.train_step

    def poisoned():
        if learner.step == 7:
            learner.module[-1].weight.data.fill_(math.inf)
        step()

    learner.train_step = poisoned
    files = files_of(tmp_path, learner)
    with pytest.raises(DivergedError, match=r"The loss became (nan|inf) at step 7\."):
        fit(learner, files, checkpoint_s=1e9)
    assert [row["step"] for row in files.curve()] == [0, 5]


def test_outputs_that_are_not_finite_are_refused(tmp_path, make_task):
    learner = trainer(make_task())
    learner.module[-1].bias.data.fill_(math.nan)
    with pytest.raises(DivergedError, match="outputs are NaN or infinite"):
        fit(learner, files_of(tmp_path, learner), checkpoint_s=1e9)


def test_evaluation_leaves_the_model_training_and_sees_every_image(make_task):
    learner = trainer(make_task(num=300))
    found = evaluate(learner.fabric, learner.model, learner.task, learner.held_out)
    assert found.scores.shape == (300, 2)
    assert learner.model.training
    learner.module.eval()
    with torch.no_grad():
        images, labels = learner.held_out.get(np.arange(300))
        outputs = learner.module(learner.held_out.normalise(images))
    assert found.values["loss"] == pytest.approx(float(nn.functional.cross_entropy(outputs, labels)), rel=1e-5)
    assert np.allclose(found.scores, outputs.softmax(1).numpy(), atol=1e-6)


def test_labels_that_are_nan_are_left_out_of_the_loss(make_task):
    task = make_task("multilabel", 4)
    outputs, labels = torch.randn(6, 4), torch.zeros(6, 4)
    whole = loss_of(task, outputs, labels)
    labels[2:] = math.nan
    assert loss_of(task, outputs, labels) == pytest.approx(float(loss_of(task, outputs[:2], torch.zeros(2, 4))))
    assert loss_of(task, outputs, labels) != pytest.approx(float(whole))
    assert loss_of(task, outputs, torch.full((6, 4), math.nan)) == 0


def test_learning_rates():
    assert [learning_rate(TrainSpec(lr=1, steps=10), step) for step in (0, 9)] == [1, 1]
    step = TrainSpec(lr=1, steps=100, schedule="step", milestones=(0.3, 0.6), gamma=0.1)
    assert [learning_rate(step, s) for s in (0, 29, 30, 60, 99)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    cosine = TrainSpec(lr=2, steps=100, schedule="cosine")
    assert [learning_rate(cosine, s) for s in (0, 50)] == pytest.approx([2, 1])
    assert learning_rate(cosine, 99) < 0.001
    warm = TrainSpec(lr=1, steps=10, warmup_steps=4)
    assert [learning_rate(warm, s) for s in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])


def test_a_plateau_lowers_the_rate_once_its_patience_is_over():
    train = TrainSpec(lr=1, schedule="plateau", gamma=0.1, patience=2)
    losses = [1.0, 0.9, 0.95, 0.9, 0.91, 0.9, 0.89, 0.9]
    found = [learning_rate(train, 0, losses[:num]) for num in range(len(losses) + 1)]
    # the third evaluation without a fall is the fifth; then the wait begins anew
    assert found == pytest.approx([1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1])


def test_a_plateau_is_that_of_torch():
    losses = np.random.default_rng(0).normal(1, 0.1, 60) - np.linspace(0, 0.3, 60)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, eps=0)
    train = TrainSpec(lr=1, schedule="plateau", gamma=0.5, patience=3)
    for num, loss in enumerate(losses):
        theirs.step(loss)
        assert learning_rate(train, 0, losses[: num + 1]) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert optimizer.param_groups[0]["lr"] < 0.1


def test_batches_are_normalised_channels_last_and_in_the_order_asked(make_task):
    task = make_task()
    batches = Batches(task, task.splits["train"], np.array([5, 7, 9]), torch.device("cpu"))
    images, labels = batches.get(np.array([2, 0]))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [1, 1]
    expected = (torch.from_numpy(task.splits["train"].images[[9, 5]]).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert torch.allclose(batches.normalise(images), expected, atol=1e-5)


def test_sixteen_bit_images_use_their_full_range(make_task):
    task = make_task()
    split = task.splits["train"]
    deep = type(split)(split.images.astype(np.uint16) * 257, split.labels, None, split.names)
    shallow, full = (Batches(task, s, None, torch.device("cpu")) for s in (split, deep))
    rows = np.arange(4)
    assert torch.allclose(shallow.normalise(shallow.get(rows)[0]), full.normalise(full.get(rows)[0]), atol=1e-4)
