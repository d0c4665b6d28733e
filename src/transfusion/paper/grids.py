"""The recipes of the paper: which studies together reproduce which items, at full scale and in miniature.

A recipe is not one study. Its items share runs but need different grids: sizes for three starts only, batch-norm
modes for mean_var only, partial starts at full size only. So it is several parts over one store of runs, and a run that
two parts need is trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch.nn.modules.batchnorm import _BatchNorm

from transfusion.errors import SpecError, UnknownNameError
from transfusion.networks import models
from transfusion.networks.structure import stages
from transfusion.spec import DonorRunSpec, RepresentationSpec, SchemeSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.terms import Crop


@dataclass(frozen=True)
class Item:
    """A table or figure of the paper.

    Attributes:
        name: T1 to T5, F2 to F18; of a control that the paper lacks, the claim that it is for.
        shows: what, in a line.
        parts: of its recipe that it needs.
        is_control: run only where ``--only`` names it.
    """

    name: str
    shows: str
    parts: tuple[str, ...]
    is_control: bool = False


@dataclass(frozen=True)
class Choices:
    """What the user decides about a recipe.

    Attributes:
        data: folder or file of the images; of ``cifar`` the folder that holds both data sets.
        mini: the miniature: a small network and few steps, for a processor.
        seeds: how many; None is the recipe's own number.
        model: another network than the recipe's.
        donors: other donors than the recipe's: ``DONOR`` for its main network, ``NETWORK=DONOR`` for any of them.
        image_size: side of the images in pixels, other than the recipe's.
    """

    data: Path | None = None
    mini: bool = False
    seeds: int | None = None
    model: str | None = None
    donors: tuple[str, ...] = ()
    image_size: int | None = None

    def donor_of(self, network: str, usual: str, *, is_main: bool = True) -> str:
        """The donor of one of the recipe's networks.

        Examples:
            >>> choices = Choices(donors=("file:a.pth", "resnet18=file:b.pth"))
            >>> choices.donor_of("squeezenet1_0", "torchvision:squeezenet1_0")
            'file:a.pth'
            >>> choices.donor_of("resnet18", "torchvision:resnet18", is_main=False)
            'file:b.pth'
        """
        named = dict(text.split("=", 1) for text in self.donors if _names_network(text))
        main = [text for text in self.donors if not _names_network(text)]
        return named.get(network) or (main[-1] if main and is_main else usual)


def _names_network(text: str) -> bool:
    """``resnet18=file:b.pth``, but not ``file:a=b.pth``."""
    network, equals, _ = text.partition("=")
    # a colon says that a donor has begun, unless it is that of the network's own library
    return bool(equals) and ":" not in network.removeprefix("timm:").removeprefix("torchvision:")


@dataclass(frozen=True)
class PaperRecipe:
    """Named, complete studies that together reproduce items of the paper.

    Attributes:
        shows: what it is about, in a line.
        needs: the data that the user gives, and in which layout.
        images: to train on and to evaluate on, of those data whole; a donor's are as many.
        items: that it reproduces.
        build: choices -> part -> study.
    """

    shows: str
    needs: str
    images: tuple[int, int]
    items: tuple[Item, ...]
    build: Callable[[Choices], dict[str, StudySpec]]

    def parts(self, choices: Choices, only: tuple[str, ...] = ()) -> dict[str, StudySpec]:
        """The studies to run.

        Args:
            choices: what the user decides.
            only: names of items; empty for all of the paper's.

        Raises:
            UnknownNameError: an item is not one of this recipe.
            SpecError: the recipe needs data and none are given.
        """
        if choices.data is None:
            raise SpecError(f"This recipe needs data (--data): {self.needs}.")
        known = {item.name: item for item in self.items}
        for name in only:
            if name not in known:
                raise UnknownNameError.of("item", name, known)
        chosen = [item for item in self.items if (item.name in only if only else not item.is_control)]
        wanted = {part for item in chosen for part in item.parts}
        return {name: study for name, study in self.build(choices).items() if name in wanted}


MAIN = ("pretrained", "mean_var", "random")
MINI = TrainSpec(lr=3e-4, steps=360, batch_size=32)


def _seeds(choices: Choices, usual: int) -> tuple[int, ...]:
    return tuple(range(choices.seeds or usual))


def _study(base: Mapping[str, object], name: str, **values: object) -> StudySpec:
    return StudySpec.parse({**base, "name": name, **values})


def blocks_of(model: str) -> tuple[str, ...]:
    """The stages that the paper calls blocks: all but stem and head."""
    return tuple(stage for stage in stages(models.build(model, 2)) if stage not in ("stem", "head"))


def _fundus(choices: Choices) -> dict[str, StudySpec]:
    """ResNet-50 at 587 px; the paper's private fundus photographs are replaced by EyePACS."""
    model = choices.model or ("squeezenet1_0" if choices.mini else "resnet50")
    usual = f"torchvision:{model}" + ("/IMAGENET1K_V1" if model == "resnet50" else "")  # V2 is another training
    full = TrainSpec(lr=1e-3, steps=100_000, batch_size=8, eval_every=1000, augment="fundus", precision="float32")
    size = choices.image_size or (64 if choices.mini else 587)
    base = {
        "task": TaskSpec(data=str(choices.data), image_size=size, crop=_crop(choices.data)),
        "model": model,
        "donor": choices.donor_of(model, usual),
        "train": MINI if choices.mini else full,
        "seeds": _seeds(choices, 3),
    }
    # Table 1 rests on five runs, Table 2 on three
    main = base | {"seeds": _seeds(choices, 3 if choices.mini else 5)}
    blocks = blocks_of(model)[:3]  # of four: up to the last is the whole network, which has runs of its own
    upto = {"upto": ("stem", *blocks, None)}
    uptos = tuple(SchemeSpec(name="pretrained", upto=stage, rest="mean_var") for stage in ("stem", *blocks))
    # 50, 100, 150, 200 and 300 thousand of the paper's images, as shares of those that there are
    sizes = (0.1, 0.3, 1.0) if choices.mini else (0.1667, 0.3333, 0.5, 0.6667, 1.0)
    images = RepresentationSpec(images=500 if choices.mini else 2000, measures=("cca",), stage=blocks[-1])
    return {
        "t1": _study(main, "t1", schemes=(*MAIN, "kaiming"), representations=images),
        "f4": _study(base, "f4", schemes=(*MAIN, "sampling", "shuffled")),
        "f5": _batch_norms(main, choices),
        "t2": _study(base, "t2", schemes=MAIN, sizes=sizes),
        "f10": _study(base, "f10", schemes=("pretrained", "random"), **upto),
        "f18": _study(base, "f18", schemes=(*uptos, "pretrained", "random")),
        **_controls(base),
    }


def _controls(base: Mapping[str, object]) -> dict[str, StudySpec]:
    """One head for all starts by Glorot's rule, other learning rates, and the scale of the stem alone."""
    # the usual rate is that of t1, whose runs J3 reads too
    train = base["train"]
    assert isinstance(train, TrainSpec)
    rates = {"j3_low": train.lr / 3, "j3_high": train.lr * 3}
    stem = SchemeSpec(name="mean_var", upto="stem", rest="random")
    return {
        "j2": _study(base, "j2", schemes=MAIN, head="random"),
        **{name: _study({**base, "train": train.with_values(lr=lr)}, name, schemes=MAIN) for name, lr in rates.items()},
        "j5": _study(base, "j5", schemes=(stem, *MAIN)),
    }


def _crop(data: Path | None) -> Crop:
    """EyePACS comes as cameras took it, with margins of any width."""
    return "circle" if data is not None and (Path(data) / "trainLabels.csv").is_file() else "square"


def _batch_norms(main: Mapping[str, object], choices: Choices) -> StudySpec:
    """The modes of batch norm, on a network that has some: the miniature's main network has none."""
    if not choices.mini or has_batch_norm(str(main["model"])):
        return _study(main, "f5", schemes=MAIN, batch_norms=("identity", "mean_var", "pretrained"))
    donor = choices.donor_of(WITH_BATCH_NORM, f"timm:{WITH_BATCH_NORM}", is_main=False)
    part = {**main, "model": WITH_BATCH_NORM, "donor": donor, "train": MINI.with_values(steps=180)}
    return _study(part, "f5", schemes=MAIN, batch_norms=("identity", "mean_var", "pretrained"))


WITH_BATCH_NORM = "tf_efficientnet_lite0"  # a small one


def has_batch_norm(model: str) -> bool:
    """Whether a network has batch norm, so that its modes are not all the same."""
    return any(isinstance(module, _BatchNorm) for module in models.build(model, 2).modules())


def _chest(choices: Choices) -> dict[str, StudySpec]:
    """DenseNet-121 on ChestX-ray14 at 224 px, one AUC per disease."""
    # not SqueezeNet: its outputs end in a ReLU, so no sigmoid of them can be below a half
    model = choices.model or (WITH_BATCH_NORM if choices.mini else "densenet121")
    usual = f"{'timm' if model == WITH_BATCH_NORM else 'torchvision'}:{model}"
    size = choices.image_size or (64 if choices.mini else 224)
    # as the code behind Table 5 (zoogzog/chexnet): ten crops of 224 of 256 px, validation judges the rate
    full = TrainSpec(
        lr=1e-4, weight_decay=1e-5, batch_size=128, epochs=30, eval_epochs=1, augment="resized_crop",
        schedule="plateau", patience=5, ten_crop=size,
    )  # fmt: skip
    whole = {"image_size": size} if choices.mini else {"image_size": round(size * 256 / 224), "val_fraction": 0.1}
    base = {
        "task": TaskSpec(data=str(choices.data), channels=3, **whole),
        "model": model,
        "donor": choices.donor_of(model, usual),
        "train": MINI.with_values(steps=180) if choices.mini else full,
        "seeds": _seeds(choices, 3 if choices.mini else 5),
    }
    return {"t5": _study(base, "t5", schemes=(*MAIN, "default"))}


def _cifar(choices: Choices) -> dict[str, StudySpec]:
    """CIFAR-100 to CIFAR-10 with a ResNet whose stem is one 3x3 convolution."""
    assert choices.data is not None
    target, source = (_one_of(choices.data, names) for names in (_CIFAR10, _CIFAR100))
    # as wide ResNets are trained (Zagoruyko and Komodakis 2016), whose drops at 30, 60 and 80 % the paper names
    sgd = TrainSpec(
        optimizer="sgd", lr=0.1, weight_decay=5e-4, schedule="step", milestones=(0.3, 0.6, 0.8), gamma=0.2,
        batch_size=128, epochs=20 if choices.mini else 200, eval_epochs=None if choices.mini else 1, augment="pad_crop",
    )  # fmt: skip
    donor = DonorRunSpec(
        task=TaskSpec(data=str(source)),
        scheme=SchemeSpec(name="random"),
        train=sgd.with_values(epochs=30) if choices.mini else sgd,
    )
    base = {
        "task": TaskSpec(data=str(target)),
        "model": choices.model or ("resnet20_cifar" if choices.mini else "resnet50_cifar"),
        "donor": choices.donors[-1] if choices.donors else donor,
        "train": sgd,
        "seeds": _seeds(choices, 3 if choices.mini else 5),
        "sizes": (None,) if choices.mini else (0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
        "metric": "accuracy",
    }
    return {"t4": _study(base, "t4", schemes=(*MAIN, "kaiming"))}  # kaiming for J1


_CIFAR10 = ("cifar-10-batches-py", "cifar10.npz", "cifar10_subset.npz")
_CIFAR100 = ("cifar-100-python", "cifar100.npz", "cifar100_subset.npz")


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    if not folder.exists():  # what it would hold: a plan can be made without it, and reading it fails with its name
        return folder / names[0]
    found = [folder / name for name in names if (folder / name).exists()]
    if not found:
        raise SpecError(f"{folder} holds none of {', '.join(names)}. Give the folder that holds both CIFAR data sets.")
    return found[0]


def _natural(choices: Choices) -> dict[str, StudySpec]:
    """A network with a 7x7 stem from random on natural images, with snapshots along the way."""
    # the usual rates of ResNet-50; the paper says "quickly", which the first 5 of 90 epochs can show
    full = TrainSpec(optimizer="sgd", lr=0.1, weight_decay=1e-4, batch_size=256, epochs=5, augment="resized_crop")
    small = TrainSpec(lr=1e-3, steps=800, batch_size=64, eval_every=100, augment="flip")
    base = {
        "task": TaskSpec(data=str(choices.data), image_size=choices.image_size or (64 if choices.mini else 224)),
        "model": choices.model or ("resnet18" if choices.mini else "resnet50"),
        "train": small if choices.mini else full,
        "seeds": _seeds(choices, 3 if choices.mini else 1),
        "representations": RepresentationSpec(images=100),
        "metric": "accuracy",
    }
    return {"f14": _study(base, "f14", schemes=("random",))}


PAPER = {
    "fundus": PaperRecipe(
        "Fundus photographs, ResNet-50",
        "a folder with train/*.jpeg and trainLabels.csv (EyePACS), or any folder of classes",
        (28_101, 7_025),  # four fifths and a fifth of EyePACS
        (
            Item("T1", "final AUC of three starts", ("t1",)),
            Item("T2", "final AUC by training size", ("t2",)),
            Item("F2", "first-layer filters before training", ("t1",)),
            Item("F3", "convergence of three starts", ("t1",)),
            Item("F4", "mean_var against sampling and shuffling", ("f4",)),
            Item("F5", "batch-norm modes", ("f5",)),
            Item("F8", "first-layer filters before, after, difference", ("t1",)),
            Item("F9", "likeness of six networks, by stage", ("t1",)),
            Item("F10", "pretrained up to a stage, rest random", ("f10",)),
            Item("F11", "convergence to the end", ("t1",)),
            Item("F12", "batch-norm modes to the end", ("f5",)),
            Item("F13", "convergence by training size", ("t2",)),
            Item("F15", "dynamics of representations, pretrained", ("t1",)),
            Item("F16", "dynamics of representations, mean_var", ("t1",)),
            Item("F17", "dynamics of representations, random", ("t1",)),
            Item("F18", "pretrained up to a stage, rest mean_var", ("f18",)),
            Item("J2", "control: Glorot's head in all starts", ("j2",), is_control=True),
            Item("J3", "control: a third and three times the rate", ("t1", "j3_low", "j3_high"), is_control=True),
            Item("J5", "control: the scale of the stem alone", ("j5",), is_control=True),
        ),
        _fundus,
    ),
    "chest": PaperRecipe(
        "ChestX-ray14, DenseNet-121, one AUC per disease",
        "the folder of ChestX-ray14 with its pictures and Data_Entry_2017.csv, or X-rays with a finding of its 14",
        (78_468, 11_219 + 22_433),  # validation and test
        (
            Item("T3", "AUC of two diseases", ("t5",)),
            Item("T5", "AUC of every disease", ("t5",)),
            Item("F6", "convergence by disease", ("t5",)),
        ),
        _chest,
    ),
    "cifar": PaperRecipe(
        "CIFAR-100 to CIFAR-10, ResNet-50 with a 3x3 stem, accuracy",
        "a folder with cifar-10-batches-py and cifar-100-python, or their .npz",
        (50_000, 10_000),
        (Item("T4", "accuracy by training size", ("t4",)), Item("F7", "convergence with 10 % and all", ("t4",))),
        _cifar,
    ),
    "natural": PaperRecipe(
        "Natural images from random: when Gabor filters appear",
        "ImageNet as class folders, or a smaller set of natural images",
        (1_281_167, 50_000),
        (Item("F14", "first-layer filters along training", ("f14",)),),
        _natural,
    ),
}
