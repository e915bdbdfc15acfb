"""Inference against a slow loop, mIoU against torchmetrics, regions against the pixels under them, and the jobs."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from sgr.data import camvid
from sgr.data.files import IGNORE, read_image
from sgr.datasets.camvid import DESCRIPTION
from sgr.evaluation.evaluate import evaluate
from sgr.evaluation.inference import padded, scores, single_and_multi_scale
from sgr.evaluation.miou import confusion, labelled, summary
from sgr.evaluation.semantics import SHOWN, extended, image_regions, most_active, semantics
from sgr.evaluation.settings import EvaluationFiles
from sgr.evaluation.trained_network import trained_network
from sgr.files import read_json
from sgr.kinds import SEMANTICS
from sgr.models.heads.pixels import OfLastMap, PixelHead
from sgr.models.network import Network, Output
from sgr.semantics import label_shares, token_semantics
from tests import tiny_row

pytestmark = pytest.mark.usefixtures("on_the_cpu")

CLASSES = DESCRIPTION.classes
Doubles = npt.NDArray[np.float64]


# Inference


class Convolution(nn.Module):
    """A backbone that is one convolution of a cell's pixels, or of more: not symmetric, and aware of borders."""

    def __init__(self, stride: int, size: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, 5
        self.conv = nn.Conv2d(3, 5, size, stride, padding=(size - stride) // 2)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [torch.tanh(3 * self.conv(images.float() / 128 - 1))]


def fake(stride: int, size: int) -> Network:
    torch.manual_seed(0)
    network = Network(
        Convolution(stride, size), None, PixelHead(OfLastMap(), nn.Conv2d(5, 4, 1)), None
    ).eval()
    nn.init.normal_(network.head.classifier.weight, std=2.0)
    return network


def axis(source: int, target: int, antialias: bool) -> Doubles:
    """Bilinear weights (target, source) of one axis, pixel centres at half integers; a wider triangle to shrink."""
    ratio = source / target
    reach = max(ratio, 1.0) if antialias else 1.0
    weights = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * ratio
        for j in range(source):
            weights[i, j] = max(0.0, 1 - abs(j + 0.5 - centre) / reach)
        if not antialias:  # what falls outside belongs to the border pixel
            weights[i, 0] += max(0.0, 0.5 - centre)
            weights[i, -1] += max(0.0, centre - (source - 0.5))
    return weights / weights.sum(1, keepdims=True)


def bilinear(maps: Doubles, size: tuple[int, int], antialias: bool = False) -> Doubles:
    rows, columns = axis(maps.shape[1], size[0], antialias), axis(maps.shape[2], size[1], antialias)
    return np.stack([rows @ one @ columns.T for one in maps])


def slow_scores(
    network: Network, image: Doubles, size: tuple[int, int], scale: float, mirrored: bool
) -> Doubles:
    """Class probabilities (classes, *size) of one image (3, H, W), one scale, mirrored or not."""
    stride = network.backbone.stride
    if mirrored:
        image = image[:, :, ::-1]
    small = (max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[2])))
    inputs = bilinear(image, small, antialias=True)
    full = (math.ceil(small[0] / stride) * stride, math.ceil(small[1] / stride) * stride)
    rows = np.minimum(np.arange(full[0]), small[0] - 1)
    columns = np.minimum(np.arange(full[1]), small[1] - 1)
    inputs = inputs[:, rows][:, :, columns]
    with torch.no_grad():
        prediction = network.head(network.backbone(torch.from_numpy(inputs)[None].float()))
    logits = prediction.logits[0].double().numpy()
    logits = bilinear(logits, full)
    exponentials = np.exp(logits - logits.max(0))
    here = (exponentials / exponentials.sum(0))[:, : small[0], : small[1]]
    here = bilinear(here, size)
    return here[:, :, ::-1] if mirrored else here


@pytest.mark.parametrize(
    "stride, size, resize",
    [
        (8, (32, 40), 1.0),
        (8, (37, 45), 1.0),
        (8, (37, 45), 0.5),
        (8, (5, 30), 1.0),
        (8, (3, 4), 0.5),
        (16, (33, 47), 1.0),
        (4, (21, 27), 0.75),
    ],
)
@pytest.mark.parametrize("flip", [True, False])
def test_single_and_multi_scale_against_a_slow_loop(stride, size, resize, flip):
    """Section 5.2: the mean over scales 0.5 to 1.75, mirrored or not, of the scores at full image size."""
    network = fake(stride, stride + 4)
    scales = [0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
    image = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.float64)
    tensor = torch.from_numpy(image)[None].to(torch.uint8)
    single, multi = single_and_multi_scale(network, tensor, size, resize=resize, scales=scales, flip=flip)
    assert single.shape == multi.shape == (1, *size)

    expected = slow_scores(network, image, size, resize, mirrored=False)
    with torch.inference_mode():
        ours = scores(network, tensor, size, resize, flip=False)[0].numpy()
    np.testing.assert_allclose(ours, expected, atol=2e-5)
    agree(single[0], expected)
    views = [False, True] if flip else [False]
    total = np.zeros((4, *size))
    for scale in scales:
        for mirrored in views:
            total += slow_scores(network, image, size, resize * scale, mirrored)
    agree(multi[0], total / (len(scales) * len(views)))


def agree(predicted: Tensor, expected: Doubles) -> None:
    """Equal wherever the two best classes are not a tie to the precision of float32."""
    second, first = np.sort(expected, axis=0)[-2:]
    clear = first - second > 1e-4
    assert clear.mean() > 0.9
    assert np.array_equal(predicted.numpy()[clear], expected.argmax(0)[clear])


def test_labels_of_another_size_than_the_image():
    network = fake(8, 12)
    image = np.random.default_rng(0).integers(0, 256, (3, 19, 26)).astype(np.float64)
    tensor = torch.from_numpy(image)[None].to(torch.uint8)
    with torch.inference_mode():
        ours = scores(network, tensor, (31, 17), 1.0, flip=True)[0].numpy()
    views = [slow_scores(network, image, (31, 17), 1.0, mirrored) for mirrored in (False, True)]
    np.testing.assert_allclose(ours, sum(views) / 2, atol=2e-5)
    np.testing.assert_allclose(ours.sum(0), 1, atol=1e-5)


def test_mirroring_changes_nothing_for_a_network_that_looks_at_single_pixels():
    network = fake(1, 1)
    images = torch.randint(0, 256, (2, 3, 16, 32), dtype=torch.uint8)
    with torch.inference_mode():
        once, twice = (scores(network, images, (16, 32), 1.0, flip) for flip in (False, True))
    assert torch.equal(once, twice)
    for flip in (False, True):
        single, multi = single_and_multi_scale(network, images, (16, 32), resize=1.0, scales=[1.0], flip=flip)
        assert torch.equal(single, multi)


def test_mirrored_image_has_the_mirrored_prediction_when_flips_are_averaged():
    network = fake(8, 12)
    images = torch.randint(0, 256, (1, 3, 24, 40), dtype=torch.uint8)
    with torch.inference_mode():
        straight = scores(network, images, (24, 40), 1.0, flip=True)
        mirrored = scores(network, images.flip(3), (24, 40), 1.0, flip=True)
    torch.testing.assert_close(straight, mirrored.flip(3))


def test_images_of_a_batch_do_not_see_each_other():
    network = fake(8, 12)
    images = torch.randint(0, 256, (3, 3, 21, 30), dtype=torch.uint8)
    settings = {"resize": 1.0, "scales": [0.5, 1.0], "flip": True}
    together = single_and_multi_scale(network, images, (21, 30), **settings)
    for index in range(3):
        alone = single_and_multi_scale(network, images[index : index + 1], (21, 30), **settings)
        for first, second in zip(together, alone, strict=True):
            assert (first[index] == second[0]).float().mean() > 0.999


@pytest.mark.parametrize("size", [(8, 16), (9, 17), (1, 1), (15, 7)])
def test_padding_repeats_the_border(size):
    images = torch.rand(1, 3, *size)
    out = padded(images, 8)
    assert out.shape[2] % 8 == out.shape[3] % 8 == 0
    assert out.shape[2] - size[0] < 8 and out.shape[3] - size[1] < 8
    assert torch.equal(out[:, :, : size[0], : size[1]], images)
    assert torch.equal(
        out[:, :, size[0] :, : size[1]], images[:, :, -1:].expand_as(out[:, :, size[0] :, : size[1]])
    )
    assert torch.equal(
        out[:, :, :, size[1] :], out[:, :, :, size[1] - 1 : size[1]].expand_as(out[:, :, :, size[1] :])
    )


# mIoU


def test_two_by_two_by_hand():
    """Class 0: 3 right, 1 seen as 1. Class 1: 2 right, 4 seen as 0. IoU 3/8 and 2/7; 5 of 10 pixels right."""
    labels = torch.tensor([0] * 4 + [1] * 6 + [255] * 5)
    predicted = torch.tensor([0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0])
    matrix = confusion(predicted, labels, 2)
    assert matrix.tolist() == [[3, 1], [4, 2]]
    result = summary(matrix, ("a", "b"))
    assert result["iou"] == {"a": pytest.approx(37.5), "b": pytest.approx(200 / 7)}
    assert result["miou"] == pytest.approx((37.5 + 200 / 7) / 2)
    assert result["pixel_accuracy"] == pytest.approx(50)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize("classes", [2, 11, 150, 171])
def test_confusion_against_torchmetrics(classes, dtype):
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randint(0, classes, (2, 40, 50), generator=generator)
    labels = torch.randint(0, classes, (2, 40, 50), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = IGNORE
    oracle = MulticlassConfusionMatrix(classes, ignore_index=IGNORE)(predicted, labels)
    matrix = confusion(predicted, labels.to(dtype), classes)
    assert matrix.dtype == torch.int64
    assert torch.equal(matrix, oracle)
    ious = []
    for c in range(classes):
        union = int(oracle[c].sum() + oracle[:, c].sum() - oracle[c, c])
        ious += [100 * int(oracle[c, c]) / union] if union else []
    result = summary(matrix, tuple(map(str, range(classes))))
    assert result["miou"] == pytest.approx(sum(ious) / len(ious), abs=1e-9)


def test_matrices_add_up():
    """mIoU is pooled over the dataset, not a mean over images."""
    generator = torch.Generator().manual_seed(0)
    predicted, labels = torch.randint(0, 3, (2, 4, 9, 9), generator=generator)
    one_by_one = sum(confusion(predicted[i], labels[i], 3) for i in range(4))
    assert torch.equal(confusion(predicted, labels, 3), one_by_one)


def test_absent_class_is_left_out_and_a_class_only_predicted_counts_as_zero():
    matrix = confusion(torch.tensor([0, 0, 2]), torch.tensor([0, 0, 0]), 4)
    result = summary(matrix, ("a", "b", "c", "d"))
    assert result["iou"] == {"a": pytest.approx(200 / 3), "b": None, "c": 0.0, "d": None}
    assert result["miou"] == pytest.approx(100 / 3)


def test_nothing_labelled():
    matrix = confusion(torch.tensor([0, 1]), torch.tensor([255, 255]), 2)
    assert summary(matrix, ("a", "b")) == {
        "miou": None,
        "pixel_accuracy": None,
        "iou": {"a": None, "b": None},
        "collapsed": False,
    }
    assert labelled(matrix) == {"classes": 0, "majority_miou": None}


def test_one_class_for_everything_is_a_collapse_and_reaches_the_majoritys_miou():
    """Labels: 6 of class 0, 3 of class 1, 1 of class 3. Predicting 0 everywhere: IoU 6/10, 0 and 0."""
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] + [255] * 4)
    majority = confusion(torch.zeros_like(labels), labels, 4)
    assert summary(majority, ("a", "b", "c", "d"))["collapsed"] is True
    assert summary(majority, ("a", "b", "c", "d"))["miou"] == pytest.approx(20)
    # another class for everything has collapsed too, and reaches less; one pixel of a second class is no collapse
    other, second = torch.full_like(labels, 2), torch.zeros_like(labels)
    second[0] = 1
    for predicted, collapsed in ((other, True), (second, False)):
        matrix = confusion(predicted, labels, 4)
        assert summary(matrix, ("a", "b", "c", "d"))["collapsed"] is collapsed
        assert labelled(matrix) == {"classes": 3, "majority_miou": pytest.approx(20)}
    # where the labels hold one class, predicting it is right
    assert summary(confusion(second * 0, labels * 0, 4), ("a", "b", "c", "d"))["collapsed"] is False


# Regions and the pixels under them


class EachCell:
    """A network with a region for each cell, or for each colour that lies in the middle of a cell."""

    def __init__(self, stride: int, colours: int = 0) -> None:
        self.backbone, self.colours = SimpleNamespace(stride=stride), colours

    def __call__(self, inputs: Tensor) -> Output:
        stride = self.backbone.stride
        middle = inputs[:, 0, stride // 2 :: stride, stride // 2 :: stride]
        if self.colours:
            regions = nn.functional.one_hot((middle / 20).round().long(), self.colours).permute(0, 3, 1, 2)
        else:
            cells = torch.arange(middle[0].numel())
            regions = torch.eye(len(cells)).view(1, -1, *middle.shape[1:])
        return Output(middle[:, None], SimpleNamespace(regions=regions.float()))

    def regions(self, output: Output) -> Tensor:
        return output.unit.regions


@pytest.mark.parametrize("resize", [1.0, 0.5])
@pytest.mark.parametrize("size", [(32, 48), (37, 45), (75, 91), (5, 60), (97, 33), (50, 34)])
def test_each_region_sees_the_pixels_of_its_cell(size, resize):
    """At stride 8 and half size a cell covers 16 x 16 pixels of the label map, from the top left corner on."""
    labels = torch.randint(0, 5, (1, *size), dtype=torch.uint8)
    image = torch.zeros(1, 3, *size, dtype=torch.uint8)
    regions, covered = image_regions(EachCell(8), image, resize)
    cells = extended(labels, covered, IGNORE)
    assert torch.equal(cells[:, : size[0], : size[1]], labels)
    assert (cells[:, size[0] :] == IGNORE).all() and (cells[:, :, size[1] :] == IGNORE).all()
    side = round(8 / resize)
    rows, columns = regions.shape[2:]
    shares = label_shares(cells, 5, (rows, columns))[0].view(rows, columns, 5)
    exact = cells.shape[1] == rows * side and cells.shape[2] == columns * side
    assert exact or resize != 1  # the rounded half of an odd side may lose its last pixel
    for i in range(rows):
        for j in range(columns):
            block = labels[0, i * side : (i + 1) * side, j * side : (j + 1) * side].flatten().long()
            known = torch.bincount(block, minlength=5) / side**2
            tolerance = 1e-6 if exact else 0.2
            assert (shares[i, j] - known).abs().max() <= tolerance, (i, j)


@pytest.mark.parametrize("resize", [1.0, 0.5])
@pytest.mark.parametrize("size", [(32, 48), (37, 45), (75, 91), (77, 89), (96, 50)])
def test_perfect_regions_have_no_entropy(size, resize):
    """One class a cell, painted into the image; regions are read off the network's input, one-hot by class."""
    side = round(8 / resize)
    blocks = np.random.default_rng(0).integers(0, 5, (-(-size[0] // side), -(-size[1] // side)))
    labels = np.kron(blocks, np.ones((side, side), dtype=np.int64))[: size[0], : size[1]].astype(np.uint8)
    image = torch.from_numpy(np.stack([20 * labels] * 3))[None]
    regions, covered = image_regions(EachCell(8, colours=5), image, resize)
    cells = extended(torch.from_numpy(labels)[None], covered, IGNORE)
    measured = token_semantics(regions, cells, 5, IGNORE)
    assert measured.semantics.item() == 0
    assert measured.diversity.item() > 0.5  # a different class each: 5 tokens, 1 - 1/5


def test_most_active_regions_come_first_and_are_scaled():
    regions = torch.zeros(9, 2, 3)
    regions[:, 0, 0] = torch.tensor([0.1, 0.5, 0.3, 0.0, 0.9, 0.5, 0.2, 0.05, 0.7])
    regions[2, 1, 2] = 0.35  # the sum decides, not the peak
    chosen = most_active(regions)
    assert chosen.shape == (SHOWN, 2, 3)
    # 0.9, and 0.65 as the only one that looks different; then 0.7, 0.5, 0.5 (ties keep their order), 0.2
    order = [4, 2, 8, 1, 5, 6]
    for index, original in enumerate(order):
        torch.testing.assert_close(chosen[index], regions[original] / regions[original].max())
    assert most_active(torch.zeros(3, 2, 2)).tolist() == torch.zeros(3, 2, 2).tolist()


# The jobs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> EvaluationFiles:
    """What jobs that look at a trained tiny row read."""
    root = tmp_path_factory.mktemp("row")
    files = tiny_row.make(root)
    assert tiny_row.train_in_process(tiny_row.training(), files, root / "train") == 0
    return tiny_row.evaluation_files(files, root / "train" / "model.safetensors")


def test_evaluate_job(trained, tmp_path):
    settings = tiny_row.evaluation()
    for number, workers in enumerate((0, 0, 2)):
        evaluate(settings, replace(trained, loader_workers=workers), 0, tmp_path / str(number))
    first, *others = ((tmp_path / str(number) / "metrics.json").read_bytes() for number in range(3))
    assert all(other == first for other in others)

    metrics = read_json(tmp_path / "0" / "metrics.json")
    assert set(metrics) == {"val", "test", "parameters"}
    network = trained_network(settings.seen, trained, torch.device("cpu"))
    assert metrics["parameters"] == sum(p.numel() for p in network.parameters())
    for split in ("val", "test"):
        expected = {kind: MulticlassConfusionMatrix(11, ignore_index=IGNORE) for kind in ("ss", "ms")}
        for sample in camvid.index(trained.data, split):
            image = torch.from_numpy(read_image(sample.image)).permute(2, 0, 1)[None]
            label = torch.from_numpy(camvid.read_label(sample.label)).long()
            size = (label.shape[0], label.shape[1])
            single, multi = single_and_multi_scale(
                network, image, size, resize=1.0, scales=[0.5, 1.0, 1.25], flip=True
            )
            expected["ss"].update(single[0], label)
            expected["ms"].update(multi[0], label)
        for kind, oracle in expected.items():
            result = summary(oracle.compute(), CLASSES)
            assert set(metrics[split][f"iou_{kind}"]) == set(CLASSES)
            for name in ("miou", "pixel_accuracy", "iou", "collapsed"):
                assert metrics[split][f"{name}_{kind}"] == pytest.approx(result[name])
        truth = labelled(expected["ss"].compute())
        assert 1 < truth["classes"] <= 11
        assert {name: metrics[split][name] for name in ("images", *truth)} == {"images": 2, **truth}
    assert 0 < metrics["val"]["pixel_accuracy_ss"] < 100


def test_semantics_job(trained, tmp_path):
    settings = tiny_row.semantics()
    for name in ("first", "second"):
        semantics(settings, trained, 0, tmp_path / name)
    for artefact in SEMANTICS.artefacts:
        first, second = ((tmp_path / name / artefact).read_bytes() for name in ("first", "second"))
        assert first == second

    network = trained_network(settings.seen, trained, torch.device("cpu"))
    values = []
    samples = camvid.index(trained.data, "val")
    packed = np.load(tmp_path / "first" / "tokens.npz")
    assert packed["count"] == 2
    for index, sample in enumerate(samples):
        image = torch.from_numpy(read_image(sample.image)).permute(2, 0, 1)[None]
        label = torch.from_numpy(camvid.read_label(sample.label))[None]
        regions, covered = image_regions(network, image, 1.0)
        cells = extended(label, covered, IGNORE)
        assert regions.shape == (1, 8, 6, 8)  # 45 x 61 pixels at stride 8
        values.append([float(value) for value in token_semantics(regions, cells, 11)])
        assert packed[f"name_{index}"] == sample.id
        assert np.array_equal(packed[f"image_{index}"], read_image(sample.image))
        assert np.array_equal(packed[f"label_{index}"], label[0])
        shown = packed[f"regions_{index}"]
        assert (shown.dtype, shown.shape) == (np.float16, (SHOWN, 6, 8))
        assert (shown.max(axis=(1, 2)) == 1).all() and (shown >= 0).all()
    means = read_json(tmp_path / "first" / "semantics.json")["val"]
    expected = np.mean(values, axis=0)
    assert means["images"] == 2
    seen = {int(value) for sample in samples for value in np.unique(camvid.read_label(sample.label))}
    assert means["classes"] == len(seen - {IGNORE})
    assert [means["semantics_class"], means["diversity_class"]] == pytest.approx(expected.tolist())


@pytest.mark.parametrize("examples", [1, 2, 3])
def test_examples_are_as_many_as_asked_while_there_are_images(trained, tmp_path, examples):
    """Two images of the split: never more than them, and each asked for is there."""
    semantics(replace(tiny_row.semantics(), examples=examples), trained, 0, tmp_path)
    packed = np.load(tmp_path / "tokens.npz")
    assert packed["count"] == min(examples, 2)
