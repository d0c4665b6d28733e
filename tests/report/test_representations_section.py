import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from transfusion.files import write_text
from transfusion.report import effects, opening, representations
from transfusion.report.material import Material
from transfusion.report.page import write_page
from transfusion.report.parts import Listing, Picture, Table, flat
from transfusion.runs import comparisons as units_of
from transfusion.runs.frames import FOUND, PAIR
from transfusion.runs.store import Store, write_tensors
from transfusion.similarity.cautions import Caution, packed
from transfusion.spec import RepresentationSpec, RunSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec

STAGES = ("stem", "body<b>", "head")
NAMES = ("pretrained", "mean_var", "random")


def similarity(unit):
    """Made-up comparisons of one unit: 0.9, 0.8 and 0.7 by stage."""
    end = unit.weights[-1]
    pairs = (
        [(a, end) for a in unit.weights[:-1]] if unit.kind == "dynamics" else itertools.combinations(unit.weights, 2)
    )
    lines = [",".join([*PAIR, *FOUND, "kind"])]
    for (a, b), (place, stage) in itertools.product(list(pairs), enumerate(STAGES)):
        for measure, value in (("cca", 0.9 - place / 10), ("linear_cka", 0.5)):
            lines.append(f"{stage},{a[0]},{a[1]},{b[0]},{b[1]},{measure},{value},{value},0.1,4,4,640,40,,,{unit.kind}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def store(tmp_path):
    """A finished study of three starts and three seeds, with every comparison."""
    return made(tmp_path, NAMES, 3)


def made(folder, names, num_seeds):
    store = Store(folder)
    runs = [
        RunSpec(task=TaskSpec(), model="m", scheme=SchemeSpec(name=name), seed=seed, train=TrainSpec(steps=8))
        for seed in range(num_seeds)
        for name in names
    ]
    store.begin(StudySpec(representations=RepresentationSpec(images=40)), runs, None, {"images": {"train": 7}})
    for run in runs:
        files = store.run(run.id)
        files.begin(run, {})
        write_tensors(files.before_path, {"w": torch.zeros(1)})
        write_tensors(files.after_path, {"w": torch.ones(1)})
        files.save_snapshot(4, {"w": torch.ones(1)})
        for step in (0, 4, 8):
            files.append({"step": step, "loss": 1.0, "auc": 0.5 + step / 20 + 0.01 * run.seed})
        files.finish({"auc": 0.9})
    for unit in units_of.units(store):
        if unit.kind == "activations":
            maps = {f"{run} {step}": torch.rand(2, 5, 6, 6).half() for run, step in unit.weights}
            pictures = {"pictures": torch.zeros(2, 16, 16, 3, dtype=torch.uint8)}
            write_tensors(store.representation_path(unit.id, "safetensors"), maps | pictures)
        else:
            write_text(store.representation_path(unit.id, "csv"), similarity(unit))
    return store


def pictures(store):
    return {part.name: part for part in representations.section(Material(store)).parts if isinstance(part, Picture)}


def test_every_figure_of_the_paper_is_there_with_its_n(store):
    found = pictures(store)
    assert set(found) == {
        f"representations-{name}" for name in ("change", "likeness", "heatmaps", "dynamics", "activations")
    }
    assert all("n = " in part.caption or "in brackets" in part.caption for part in found.values())
    assert "pretrained 0.90 at stem, 0.80 at body<b>, 0.70 at head" in found["representations-change"].alt


@pytest.mark.parametrize(("seeds", "pairs"), [(2, "1 pair "), (3, "3 pairs "), (5, "5 pairs ")])
def test_the_number_of_pairs_and_seeds_is_said(tmp_path, seeds, pairs):
    caption = pictures(made(tmp_path, ("mean_var", "random"), seeds))["representations-heatmaps"].caption
    assert f"mean over n = {pairs}of different seeds" in caption
    assert f"before against after of one run: mean over n = {seeds} seeds" in caption


def test_one_seed_has_no_pair_of_different_seeds_and_that_is_said(tmp_path):
    store = made(tmp_path, ("mean_var", "random"), 1)
    found = pictures(store)
    assert set(found) == {f"representations-{name}" for name in ("change", "dynamics", "activations")}
    assert found["representations-change"].caption.endswith("by stage: n = 1 seed.")
    assert not any("1 seeds" in part.caption or "sd over" in part.caption for part in found.values())
    assert all(part.draw().axes for part in found.values())
    words = [part for part in representations.section(Material(store)).parts if isinstance(part, str)]
    assert any("cannot be determined from n = 1 seed: it takes pairs of different seeds" in text for text in words)


@pytest.mark.slow
def test_the_heatmaps_pair_different_seeds_and_one_run_with_its_own_start(tmp_path):
    """0.9 for one run before and after, 0.6 for trained networks of different seeds, 0.1 for untrained ones, and 0.99
    for pairs of one seed, which share random numbers and are never shown."""
    store = made(tmp_path, NAMES, 3)
    for unit in units_of.units(store):
        if unit.kind not in ("grid", "seeds", "untrained", "across"):
            continue
        seed = {run: store.run(run).spec().seed for run, _ in unit.weights}
        lines = [",".join([*PAIR, *FOUND, "kind"])]
        for (a, a_step), (b, b_step) in itertools.combinations(unit.weights, 2):
            apart = {"seeds": 0.6, "untrained": 0.1, "across": 0.3}.get(unit.kind, 0.99)
            value = apart if seed[a] != seed[b] else 0.9 if a == b else 0.99
            lines.append(f"stem,{a},{a_step},{b},{b_step},cca,{value},{value},0.05,4,4,640,40,,,{unit.kind}")
        write_text(store.representation_path(unit.id, "csv"), "\n".join(lines) + "\n")
    panel = pictures(store)["representations-heatmaps"].draw().axes[0]
    assert panel.get_title().split(" ")[0] == "stem"
    values = np.asarray(panel.get_images()[0].get_array().filled(np.nan))
    expected = np.full((6, 6), 0.3)
    expected[:3, :3], expected[3:, 3:] = 0.1, 0.6
    expected[[0, 1, 2, 3, 4, 5], [3, 4, 5, 0, 1, 2]] = 0.9
    assert np.allclose(values, expected)
    likeness = pictures(store)["representations-likeness"].draw().axes[0]
    lines = {text.get_text() for text in likeness.get_legend().get_texts()}
    assert {"two seeds of random (3)", "two untrained random (3)"} <= lines
    assert Material(store).verdict.to_dict()["representations"]["between_untrained"]["stem"][
        "estimate"
    ] == pytest.approx(0.1)


def test_dynamics_begin_at_step_0_and_end_at_1(store):
    panels = pictures(store)["representations-dynamics"].draw().axes
    assert [panel.get_title() for panel in panels] == [f"{name} (n = 3)" for name in NAMES]
    line = panels[0].get_lines()[2]
    assert list(line.get_xdata()) == [0, 4, 8]
    assert np.allclose(line.get_ydata(), [0.7, 0.7, 1.0])


def test_the_table_has_both_measures_and_marks_other_seeds(store):
    (table,) = (part for part in representations.section(Material(store)).parts if isinstance(part, Table))
    assert table.columns[3:] == ("cca", "cca by chance", "linear_cka", "linear_cka by chance", "n")
    assert len(table.rows) == 3 * (3 + 6 + 3 + 6 + 3), "changes; pairs and twins of trained and of untrained networks"
    assert {row[2] for row in table.rows} >= {"random, after", "random, after (another seed)"}


def test_the_verdict_speaks_of_representations(store):
    material = Material(store)
    parts = flat(effects.section(material).parts)
    groups = {part.title: part.items for part in parts if isinstance(part, Listing)}
    assert [one.text for one in material.verdict.about("change")] == [
        said.text for said in groups["What the networks learned"][:2]
    ]
    assert material.verdict.to_dict()["representations"]["alike_from"] == "stem"  # without noise, and equally alike
    assert opening.notes(material) == []


def test_what_is_not_compared_yet_is_said(store):
    unit = next(unit for unit in units_of.units(store) if unit.kind == "dynamics")
    store.representation_path(unit.id, "csv").unlink()
    assert any("1 comparison (dynamics) is not on disk yet" in note for note in opening.notes(Material(store)))


def test_a_start_of_which_one_network_is_lacking_has_no_maps(store):
    (unit,) = (unit for unit in units_of.units(store) if unit.kind == "activations")
    path = store.representation_path(unit.id, "safetensors")
    tensors = load_file(path)
    del tensors[f"{unit.weights[1][0]} 8"]
    write_tensors(path, tensors)
    shown = pictures(store)["representations-activations"]
    assert "for mean_var, random, the same before and after training" in shown.alt
    assert "vary most after training, and the same ones before it, each map from" in shown.caption
    write_tensors(path, {})
    assert "representations-activations" not in pictures(store)


def test_saturated_stages_are_named_with_the_channels_of_both(store):
    unit = units_of.units(store)[0]
    path = store.representation_path(unit.id, "csv")
    table = pd.read_csv(path)
    write_text(path, table.assign(cautions=packed([Caution("saturated", (3,))])).to_csv(index=False))
    (words,) = (part for part in representations.section(Material(store)).parts if "fewer samples" in str(part))
    assert words.startswith(
        "At stem, body<b>, head there are fewer samples than the channels of both networks together"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("every_format")
def test_the_page_holds_it_and_no_markup_of_the_stages(store):
    page = write_page(store).read_text(encoding="utf-8")
    assert "What the networks learned" in page
    assert "body<b>" not in page
    assert (store.figures_path / "representations-heatmaps.pdf").exists()


def test_a_study_that_did_not_ask_has_no_section(tmp_path):
    store = Store(tmp_path)
    store.begin(StudySpec(), [RunSpec(task=TaskSpec(), model="m")], None, {})
    assert representations.section(Material(store)) is None
