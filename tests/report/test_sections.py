"""The sections on curves, sizes and weights, from small studies written to disk."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from transfusion.files import write_text
from transfusion.filters import gabor_score
from transfusion.networks import models
from transfusion.networks.donors import adapt
from transfusion.report import convergence as curves
from transfusion.report import sizes, weights
from transfusion.report.layers import first_layer
from transfusion.report.material import Material
from transfusion.report.parts import Chart, Listing, Picture, Table, flat
from transfusion.runs.store import Store, write_tensors
from transfusion.schemes import initialize
from transfusion.spec import RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

TAU = {"pretrained": 10, "mean_var": 20, "random": 40}
PROVENANCE = "tensor,stage\nconv.weight,stem\nbody.weight,layer1\nfc.weight,head\n"


def schemes_of(upto=()):
    return [SchemeSpec(name=name) for name in TAU] + [SchemeSpec(name="pretrained", upto=stage) for stage in upto]


def study(folder, schemes, seeds=(0, 1), image_counts=(None,), reached=100):
    store = Store(folder)
    runs = [
        RunSpec(task=TaskSpec(), model="m", scheme=scheme, seed=seed, size=size, train=TrainSpec(steps=100))
        for seed in seeds for size in image_counts for scheme in schemes
    ]  # fmt: skip
    store.begin(StudySpec(task=TaskSpec()), runs, None, {"images": {"train": 1000}})
    for run in runs:
        files = store.run(run.id)
        files.begin(run, {"processor": "abacus"})
        tau = TAU[run.scheme.name] * (1.5 if run.scheme.upto else 1) * (1 + 0.02 * run.seed)
        for step in range(0, reached + 1, 5):
            top = 0.9 + 0.001 * run.seed - (0.05 if run.size else 0)
            files.append({"step": step, "loss": 1.0, "auc": top - 0.4 * np.exp(-step / tau)})
    return store


def train(store, first=(8, 3, 5, 5)):
    """Weights for every run, which is thereby finished."""
    for files in store.grid():
        draw = torch.Generator().manual_seed(files.spec().seed)
        before = {"conv.weight": torch.randn(first, generator=draw), "body.weight": torch.randn(4, 4, generator=draw),
                  "fc.weight": torch.randn(2, 4, generator=draw), "fc.bias": torch.zeros(2)}  # fmt: skip
        write_text(files.provenance_path, PROVENANCE)
        write_tensors(files.before_path, before)
        write_tensors(files.after_path, {name: 1.5 * tensor for name, tensor in before.items()})
        files.finish({"auc": 0.9})
    return store


def named(section, kind):
    return {part.name: part for part in flat(section.parts) if isinstance(part, kind)}


def test_curves_of_a_study(tmp_path):
    section = curves.section(Material(study(tmp_path, schemes_of())))
    (chart,) = named(section, Chart).values()
    assert [(series.name, len(series.traces)) for series in chart.series] == [(name, 2) for name in TAU]
    pictures = named(section, Picture)
    assert list(pictures) == ["convergence", "verdict"]
    assert "n = 2 seeds" in pictures["convergence"].caption
    assert "stop short" not in pictures["convergence"].caption
    assert "at step 100: pretrained 0.900" in pictures["convergence"].alt
    assert named(section, Table)["curve-table"].rows[0][1].text == "2"


def test_curves_by_stage_stand_in_the_order_of_the_network(tmp_path):
    store = study(tmp_path, schemes_of(["layer1", "stem"]))
    write_text(store.grid()[0].provenance_path, PROVENANCE)
    pictures = named(curves.section(Material(store)), Picture)
    assert "convergence-upto-random" in pictures
    axes = pictures["upto"].draw().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "stem", "layer1", "all"]


def test_a_study_without_a_value_has_no_such_sections(tmp_path):
    store = Store(tmp_path)
    store.begin(StudySpec(), [RunSpec(task=TaskSpec(), model="m")], None, {})
    material = Material(store)
    assert [module.section(material) for module in (curves, sizes, weights)] == [None, None, None]


def test_runs_that_stop_short_are_counted(tmp_path):
    store = study(tmp_path, schemes_of())
    store.grid()[0].rewind(50)
    assert "1 of 6 runs stop short" in named(curves.section(Material(store)), Picture)["convergence"].caption


def test_sizes_are_compared_where_there_are_several(tmp_path):
    section = sizes.section(Material(study(tmp_path / "many", schemes_of(), image_counts=(100, None))))
    table = named(section, Table)["size-table"]
    assert [row[0].text for row in table.rows] == ["100", "1,000"]
    assert table.rows[0][1].text.startswith("0.850 ± 0.001 (2)")
    assert "n = 2 seeds" in named(section, Picture)["sizes"].caption
    assert len(named(section, Picture)["sizes"].draw().axes) == 2
    assert sizes.section(Material(study(tmp_path / "one", schemes_of()))) is None


def test_an_unknown_number_of_images_is_not_invented(tmp_path):
    store = study(tmp_path, schemes_of(), image_counts=(100, None))
    store.card_path.unlink()
    section = sizes.section(Material(store))
    assert [row[0].text for row in named(section, Table)["size-table"].rows] == ["100", "all (count not recorded)"]
    level = named(section, Picture)["sizes"].draw().axes[0]
    assert [label.get_text() for label in level.get_xticklabels()] == ["100", "all"]


def test_weights_are_told_from_the_folder_alone(tmp_path):
    section = weights.section(Material(train(study(tmp_path, schemes_of()))))
    table = named(section, Table)["filter-table"]
    assert [(row[0], *(cell.text for cell in row[1:4])) for row in table.rows] == [(n, "8", "2", "50.0%") for n in TAU]
    (found,) = (part for part in section.parts if isinstance(part, Listing))
    assert len(found.items) == len(TAU)
    assert all(item.text.startswith(f"{name}: ") for name, item in zip(TAU, found.items, strict=True))
    pictures = named(section, Picture)
    assert list(pictures) == ["filters", "weights-before", "weights-after"]
    assert pictures["filters"].is_photo
    assert "all 8 filters" in pictures["filters"].caption
    assert [axes.get_title() for axes in pictures["weights-after"].draw().axes[:3]] == ["stem", "layer1", "head"]


def test_a_network_without_filters_has_histograms_only(tmp_path):
    section = weights.section(Material(train(study(tmp_path, schemes_of()), first=(8, 3))))
    assert list(named(section, Picture)) == ["weights-before", "weights-after"]
    assert not named(section, Table)


def test_runs_whose_weights_were_not_kept_are_named(tmp_path):
    store = train(study(tmp_path, schemes_of()))
    assert not any("Left out" in part for part in weights.section(Material(store)).parts if isinstance(part, str))
    lost = [files for files in store.grid() if files.spec().scheme.name == "mean_var"]
    lost[0].after_path.unlink()
    lost[1].before_path.unlink()
    section = weights.section(Material(store))
    assert section.parts[0] == (
        "Left out, as their weights were not kept: "
        f"mean_var, seed 0 (run {lost[0].id}); mean_var, seed 1 (run {lost[1].id})."
    )
    assert [row[0] for row in named(section, Table)["filter-table"].rows] == ["pretrained", "random"]
    for files in store.grid():
        files.after_path.unlink(missing_ok=True)
    (only,) = weights.section(Material(store)).parts
    assert all(files.id in only for files in store.grid())


def test_unfinished_runs_have_no_weights_to_show(tmp_path):
    assert weights.section(Material(study(tmp_path, schemes_of()))) is None


def test_the_first_layer_is_the_first_convolution_that_has_a_picture():
    tensors = {"a": torch.zeros(4, 3, 1, 1), "b": torch.zeros(4, 3, 3, 3), "c": torch.zeros(4, 3, 7, 7)}
    assert first_layer(dict.fromkeys("abc", "stem"), tensors) == "b"
    assert first_layer({"a": "stem"}, tensors) is None


def test_the_first_layer_of_the_real_lite0_is_its_stem(real_data):
    """A file lists tensors by their names, depthwise layers of the blocks before the stem; a network by its order."""
    published = load_file(real_data / "tf_efficientnet_lite0-imagenet1k.safetensors")
    model = models.build("timm:tf_efficientnet_lite0", 2)
    state = adapt(published, model)
    origins = initialize(model, "pretrained", donor=state).frame()
    name = first_layer(dict(zip(origins["tensor"], origins["stage"], strict=True)), model.state_dict())
    assert name == "conv_stem.weight"
    assert min(key for key in published if published[key].ndim == 4) != name
    assert np.isfinite(gabor_score(model.state_dict()[name]).r2).all()


def test_gabor_fits_are_made_once(tmp_path, monkeypatch):
    layer, store = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(0)), Store(tmp_path)
    first = weights.scores_of(store, [layer])
    monkeypatch.setattr(weights, "gabor_score", lambda _: pytest.fail("fitted again"))
    (kept,), (again,) = first.values(), weights.scores_of(store, [layer]).values()
    assert np.array_equal(kept.r2, again.r2)
    assert np.array_equal(kept.p_value, again.p_value)
