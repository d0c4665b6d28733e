import errno
import re

import pytest
from click.testing import CliRunner

from transfusion import cli
from transfusion.cli.options import blank, studies_of, with_options
from transfusion.cli.settings import lines
from transfusion.errors import SpecError
from transfusion.recipes import RECIPES
from transfusion.spec import RepresentationSpec, StudySpec
from transfusion.spec.schema import flat


def options(**given):
    return {"representations": False, "data": None, "seeds": None, **given}


def test_representations_are_off_until_asked_for_and_stay_on():
    plain = with_options(StudySpec(), options(), [])
    assert plain.representations is None
    asked = with_options(StudySpec(), options(representations=True), [])
    assert asked.representations == RepresentationSpec()
    chosen = StudySpec(representations=RepresentationSpec(images=7))
    assert with_options(chosen, options(), []).representations.images == 7
    assert with_options(chosen, options(representations=True), []).representations.images == 7


def test_details_of_representations_can_be_set_together_with_the_flag():
    spec = with_options(StudySpec(), options(representations=True), ["representations.images=9"])
    assert spec.representations.images == 9
    assert spec.representations.positions == RepresentationSpec().positions


def test_options_land_where_they_belong():
    spec = with_options(StudySpec(), options(data="somewhere", seeds=2), ["train.lr=0.5"])
    assert (spec.task.data, spec.seeds, spec.train.lr) == ("somewhere", (0, 1), 0.5)


def test_what_follows_a_dot_is_part_of_the_name_of_a_folder_and_a_suffix_is_not(tmp_path):
    for name in ("data.v1", "data.v2"):
        (tmp_path / name).mkdir()
    (tmp_path / "retina.v2.npz").touch()
    names = [blank(str(tmp_path / name)).name for name in ("data.v1", "data.v2", "retina.v2.npz")]
    assert names == ["data.v1", "data.v2", "retina.v2"]
    assert blank("embedded:fundus").name == "embedded-fundus"


def test_every_setting_is_listed_with_its_default_and_what_it_is():
    listed = {
        key: (default, text)
        for key, default, text in re.findall(r"^  ([\w.]+) \[(.*?)\] (\S.*)$", "\n".join(lines()), re.M)
    }
    known = dict(flat(StudySpec(representations=RepresentationSpec()).model_dump(mode="json")))
    missing = set(known) - set(listed) - {"task.split_names"}
    assert missing == set()
    assert listed["train.lr"][0] == str(StudySpec().train.lr)
    assert listed["task.val_fraction"][0] == "0.0"
    assert all(len(text) > 5 for _, text in listed.values())
    assert all(f"  {name}: {recipe.shows}" in lines() for name, recipe in RECIPES.items())


def test_the_help_of_an_option_ends_with_the_default_of_its_setting():
    shown = " ".join(CliRunner().invoke(cli.transfusion, ["study", "--help"], terminal_width=200).output.split())
    assert f"Learning rate. [default: {StudySpec().train.lr}]" in shown
    assert "[default: pretrained,mean_var,random]" in shown
    assert f"[default: {len(StudySpec().seeds)}]" in shown


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("train.lrr=1", "train.lr"),
        ("trian.lr=1", "train.lr"),
        ("task.image_sizes=3", "task.image_size"),
        ("seed=3", "seeds"),
    ],
)
def test_a_misspelt_setting_gets_a_suggestion(setting, meant):
    with pytest.raises(SpecError, match=re.escape(f"(did you mean '{meant}'?)")):
        with_options(StudySpec(), options(), [setting])


def test_without_anything_the_recipes_are_meant_and_share_a_folder(tmp_path):
    studies = studies_of(None, str(tmp_path), options(seeds=2), [])
    assert [(each.spec.name, each.store.folder) for each in studies] == [(name, tmp_path / name) for name in RECIPES]
    assert {each.spec.seeds for each in studies} == {(0, 1)}
    assert len({each.spec.donor for each in studies}) == 1
    changed = {
        key
        for key, value in flat(studies[0].spec.model_dump())
        if dict(flat(studies[1].spec.model_dump()))[key] != value
    }
    assert changed == {"name", "task.data"}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError(), "not enough memory.*free some"),
        (RuntimeError("can't start new thread"), "no more threads.*free memory.*ulimit -u"),
        (RuntimeError("unable to mmap 9 bytes from file <a>: Cannot allocate memory (12)"), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "not enough memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory.*free some"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device", "page.html"), "page.html.*free the disk"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error.*kept: run the same command again"),
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:20]}",
)
def test_a_want_of_the_machine_is_one_line_with_its_remedy(error, line, monkeypatch, capsys):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli.transfusion, "main", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(f"transfusion: .*{line}.*\n", said)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(**_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli.transfusion, "main", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main()
