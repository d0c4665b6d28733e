from transfusion.cli import _blank
from transfusion.options import with_options
from transfusion.spec import RepresentationSpec, StudySpec


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
    names = [_blank(str(tmp_path / name)).name for name in ("data.v1", "data.v2", "retina.v2.npz")]
    assert names == ["data.v1", "data.v2", "retina.v2"]
    assert _blank("embedded:fundus").name == "embedded-fundus"
