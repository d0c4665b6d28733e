"""One pass, in any pieces, in any order: the same sums."""

import pickle

import numpy as np
import pytest
import reference
import torch

from transfusion.errors import InputError
from transfusion.similarity import MEASURES, Sums, judge


def _blocks(n=300, seed=0):
    x, y = reference.related(n, seed=seed)
    return [torch.from_numpy(each) for each in (x + 5, y - 3, np.maximum(x, 0))]


def _answers(sums):
    return {(a, b, name): judge(m, pair) for a, b, pair in sums.pairs() for name, m in MEASURES.items()}


def _same(first, second, baselines=True):
    for key, answer in first.items():
        assert answer.value == pytest.approx(second[key].value, abs=1e-10), key
        if baselines:
            assert answer.baseline == pytest.approx(second[key].baseline, abs=1e-10, nan_ok=True), key


def _whole(blocks, **options):
    sums = Sums([block.shape[1] for block in blocks], **options)
    sums.update(blocks)
    return sums


def test_batches_of_any_size_give_the_sums_of_all():
    blocks = _blocks()
    pieces = Sums([block.shape[1] for block in blocks])
    for start, end in ((0, 7), (7, 8), (8, 250), (250, 300)):
        pieces.update([block[start:end] for block in blocks])
    _same(_answers(pieces), _answers(_whole(blocks)))
    assert pieces.n == 300


@pytest.mark.parametrize("rematched", [False, True])
def test_merged_sums_are_those_of_one_pass(rematched):
    blocks = _blocks()
    one = Sums([block.shape[1] for block in blocks], rematched=rematched)
    parts = [[block[:90] for block in blocks], [block[90:] + 0 for block in blocks]]
    for part in parts:
        one.update(part)
    merged = _whole(parts[0], rematched=rematched).merge(_whole(parts[1], rematched=rematched))
    _same(_answers(merged), _answers(one))


def test_merging_goes_on_and_does_not_touch_its_parts():
    blocks = _blocks()
    first, second = _whole([block[:90] for block in blocks]), _whole([block[90:200] for block in blocks])
    merged = first.merge(second)
    merged.update([block[200:] for block in blocks])
    assert (first.n, second.n, merged.n) == (90, 110, 300)
    _same(_answers(merged), _answers(_whole(blocks)))


def test_merging_with_nothing_changes_nothing():
    sums = _whole(_blocks())
    for merged in (sums.merge(Sums(sums.widths)), Sums(sums.widths).merge(sums)):
        _same(_answers(merged), _answers(sums))
        merged.update(_blocks())
        assert merged.n == 2 * sums.n


def test_sums_travel_between_processes():
    sums = _whole(_blocks())
    _same(_answers(pickle.loads(pickle.dumps(sums))), _answers(sums))


def test_a_first_batch_far_from_the_rest_costs_little():
    blocks = _blocks()
    shifted = [torch.cat([block[:3] + 1e3, block[3:]]) for block in blocks]
    pieces = Sums([block.shape[1] for block in blocks])
    pieces.update([block[:3] for block in shifted])
    pieces.update([block[3:] for block in shifted])
    for a, b, pair in pieces.pairs():
        expected = reference.canonical_correlations(shifted[a], shifted[b]).mean()
        assert judge(MEASURES["cca"], pair).value == pytest.approx(expected, abs=1e-9)


def test_debiased_cka_needs_no_kernels():
    blocks = _blocks(60)
    for a, b, pair in _whole(blocks).pairs():
        expected = reference.debiased_cka(blocks[a], blocks[b])
        assert judge(MEASURES["debiased_cka"], pair).value == pytest.approx(expected, abs=1e-10)


def test_every_pair_of_many_networks_is_what_two_alone_give():
    blocks = _blocks()
    for a, b, pair in _whole(blocks).pairs():
        ((_, _, alone),) = _whole([blocks[a], blocks[b]]).pairs()
        assert judge(MEASURES["pwcca"], pair).value == pytest.approx(judge(MEASURES["pwcca"], alone).value, abs=1e-12)


def test_rematched_images_are_others_of_the_batch():
    blocks = _blocks(40)
    sums = Sums([block.shape[1] for block in blocks], rematched=True)
    sums.update(blocks, rows_per_image=4)
    for a, b, pair in sums.pairs():
        expected = reference.procrustes(blocks[a], np.roll(blocks[b].numpy(), -16, axis=0))
        assert judge(MEASURES["procrustes"], pair).baseline == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", sorted(MEASURES))
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6])
def test_a_baseline_of_float32_networks_keeps_five_digits(name, condition):
    pair = [reference.conditioned(600, 20, condition, seed) for seed in (0, 1)]
    answers = []
    for precise in (False, True):
        blocks = [torch.from_numpy(each).float() for each in pair]
        sums = _whole([each.double() for each in blocks] if precise else blocks, rematched=True)
        answers.append([judge(MEASURES[name], pair).baseline for _, _, pair in sums.pairs()])
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


@pytest.mark.parametrize("rematched", [False, True])
def test_the_way_of_the_gpu_gives_the_same_sums(monkeypatch, rematched):
    expected = _answers(_whole(_blocks(), rematched=rematched))
    monkeypatch.setattr("transfusion.similarity.sums.BLOCK", 64)
    _same(_answers(_whole(_blocks(), rematched=rematched, stacked=True)), expected)


def test_many_features_are_not_called_ill_conditioned_for_being_many():
    x = torch.from_numpy(reference.conditioned(2000, 300, 100.0))
    assert not any("ill-conditioned" in text for text in _answers(_whole([x, x + 1]))[0, 1, "cca"].warnings)


def test_memory_does_not_grow_with_samples():
    sums, blocks = Sums((8, 6, 8)), _blocks()
    sizes = set()
    for _ in range(3):
        sums.update(blocks)
        sizes.add(len(pickle.dumps(sums)))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("shapes", "rows_per_image", "message"),
    [
        ([(4, 2), (4, 4)], 1, r"Got blocks of shape .* widths \(2, 3\)"),
        ([(4, 2), (5, 3)], 1, "need equal rows"),
        ([(0, 2), (0, 3)], 1, "Got 0 rows"),
        ([(4, 2), (4, 3)], 3, "multiple of rows_per_image=3"),
    ],
)
def test_refuses_what_does_not_fit(shapes, rows_per_image, message):
    with pytest.raises(InputError, match=message):
        Sums((2, 3)).update([torch.ones(shape) for shape in shapes], rows_per_image)


def test_refuses_to_match_an_image_with_itself():
    with pytest.raises(InputError, match="Got one image; the baseline re-matches images"):
        Sums((2, 3), rematched=True).update([torch.ones((4, 2)), torch.ones((4, 3))], rows_per_image=4)


def test_takes_arrays_and_tensors_with_gradients():
    x, y = reference.related()
    plain, other = Sums((8, 6)), Sums((8, 6))
    plain.update([torch.from_numpy(x), torch.from_numpy(y)])
    other.update([x, torch.from_numpy(y).requires_grad_()])
    _same(_answers(other), _answers(plain))


def test_refuses_to_merge_other_networks():
    with pytest.raises(InputError, match=r"widths \(2, 3\) and \(2, 4\) do not merge"):
        Sums((2, 3)).merge(Sums((2, 4)))


def test_sums_without_norms_serve_all_but_the_debiased_cka():
    blocks = _blocks()
    lean, full = ({(a, b): pair for a, b, pair in _whole(blocks, norms=norms).pairs()} for norms in (False, True))
    for name in set(MEASURES) - {"debiased_cka"}:
        assert judge(MEASURES[name], lean[0, 1]).value == pytest.approx(
            judge(MEASURES[name], full[0, 1]).value, abs=1e-12
        )
    with pytest.raises(InputError, match="taken with norms=False; the debiased CKA needs norms=True"):
        judge(MEASURES["debiased_cka"], lean[0, 1])


@pytest.mark.parametrize("rematched", [False, True])
@pytest.mark.parametrize("norms", [False, True])
def test_merging_survives_other_shifts(norms, rematched):
    blocks = _blocks()
    far = [torch.cat([block[:90] + 50, block[90:]]) for block in blocks]
    parts = [[block[:90] for block in far], [block[90:] for block in far]]
    options = {"norms": norms, "rematched": rematched}
    merged = _whole(parts[0], **options).merge(_whole(parts[1], **options))
    for a, b, pair in merged.pairs():
        answer = judge(MEASURES["pwcca"], pair)
        assert answer.value == pytest.approx(reference.pwcca(far[a], far[b]), abs=1e-10)
        if rematched:
            moved = np.concatenate([np.roll(part[b], -round(0.382 * len(part[b])), axis=0) for part in parts])
            assert answer.baseline == pytest.approx(reference.pwcca(far[a], moved), abs=1e-10)


def test_refuses_to_judge_nothing():
    with pytest.raises(InputError, match="Got 0 samples"):
        next(Sums((2, 3)).pairs())
