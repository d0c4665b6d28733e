"""A sample of the sweep over other libraries; the whole of it is benchmarks/structure_sweep.py."""

from __future__ import annotations

import pytest
import torch

from transfusion.errors import InputError
from transfusion.networks.structure import head, stages

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
REASON = "development extra: pip install -e .[sweep]"


@pytest.mark.parametrize(
    ("name", "expected", "num_stages"),
    [
        ("ViTForImageClassification", ("classifier",), 14),
        ("ViTModel", (), 14),
        ("ConvNextForImageClassification", ("classifier",), 6),
        ("SegformerModel", (), 4),
        ("EfficientNetForImageClassification", ("classifier",), 14),
    ],
)
def test_transformers(name, expected, num_stages):
    kind = getattr(pytest.importorskip("transformers", reason=REASON), name)
    with torch.device("meta"):
        model = kind(kind.config_class())
    assert head(model) == expected
    assert len(stages(model)) == num_stages


def test_monai():
    nets = pytest.importorskip("monai.networks.nets", reason=REASON)
    assert head(nets.DenseNet121(spatial_dims=2, in_channels=1, out_channels=3)) == ("class_layers.out",)
    encoder = nets.resnet18(spatial_dims=2, n_input_channels=1, feed_forward=False)
    assert head(encoder) == ()
    assert list(stages(encoder)) == "stem layer1 layer2 layer3 layer4".split()
    with pytest.raises(InputError, match=r"Set model\.transfusion_head"):
        head(nets.UNet(spatial_dims=2, in_channels=1, out_channels=3, channels=(8, 16), strides=(2,)))


def test_segmentation_models():
    smp = pytest.importorskip("segmentation_models_pytorch", reason=REASON)
    model = smp.Unet("resnet18", encoder_weights=None, classes=3)
    with pytest.raises(InputError, match=r"it may be segmentation_head\.0\. Set model\.transfusion_head"):
        head(model)
    assert list(stages(model)) == "stem layer1 layer2 layer3 layer4 decoder segmentation_head".split()
    assert head(smp.encoders.get_encoder("efficientnet-b0", weights=None)) == ()
