"""Mask R-CNN C4: plain it is torchvision's, an identity changes no bit of it, the starts differ in nothing else."""

from __future__ import annotations

import csv
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN as Stock
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from bench.learn_detection import average_precision_after
from sgr.data.coco import CATEGORY_IDS, Annotations
from sgr.detection import network as c4
from sgr.detection.samples import EvaluationImages, TrainingImages, nearest, scaled, target
from sgr.detection.settings import STRIDE, DetectorSettings, TransferFiles
from sgr.detection.transfer import collate, steps, transfer
from sgr.kinds import TRANSFER
from sgr.models.network import build as build_segmentation
from sgr.models.recipes import RECIPES
from sgr.models.settings import Part
from sgr.models.weights_file import packed
from tests import tiny_row, tiny_transfer

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SIZES = [(64, 96), (60, 70)]
IDENTITIES = {
    "sgr": Part("sgr.unit:SGR", {"K": 8, "D": 16, "heads": 2}),
    "glore": Part("sgr.glore:GloRe", {"K": 8, "D": 16}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TransferFiles:
    return tiny_transfer.make(tmp_path_factory.mktemp("coco"))


def small(unit: Part | None = None, backbone: str = "tiny_resnet") -> c4.MaskRCNN:
    """Three classes; seeded, and with batch norms that do something."""
    torch.manual_seed(0)
    trunk = RECIPES[backbone].settings(STRIDE)
    made = c4.build(DetectorSettings(trunk, unit, classes=3, anchors=(16, 32), proposals=16, boxes=16))
    generator = torch.Generator().manual_seed(1)
    for name, buffer in made.backbone.body.named_buffers():
        if name.endswith(("weight", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return made


def example() -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Two images of different sizes in one batch, and their targets; the second has none."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=generator)
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [40.0, 10.0, 90.0, 60.0]])
    masks = torch.zeros(2, *SIZES[0], dtype=torch.uint8)
    masks[0, 6:40, 4:30] = masks[1, 10:60, 40:90] = 1
    full = {"boxes": boxes, "labels": torch.tensor([1, 3]), "masks": masks}
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, *SIZES[1], dtype=torch.uint8),
    }
    return images, [full, nothing]


def losses(network: c4.MaskRCNN) -> dict[str, Tensor]:
    images, targets = example()
    torch.manual_seed(3)
    return network.train().losses(network(images), targets)


def seen(network: c4.MaskRCNN) -> list[dict[str, Tensor]]:
    network.eval().heads.score_thresh = 0.0
    with torch.inference_mode():
        return network.detections(network(example()[0]), SIZES)


# The network


def stock(network: c4.MaskRCNN) -> Stock:
    """torchvision's Mask R-CNN of the same modules, for images that are already normalised and sized."""
    trunk = nn.Sequential(*network._shared)
    trunk.out_channels = network.backbone.channels[-2]
    made = Stock(
        trunk,
        min_size=SIZES[0][0],
        max_size=SIZES[0][1],
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(((16, 32),), (c4.RATIOS,)),
        rpn_head=network.proposals.head,
        rpn_pre_nms_top_n_train=12 * 16,
        rpn_pre_nms_top_n_test=6 * 16,
        rpn_post_nms_top_n_train=2 * 16,
        rpn_post_nms_top_n_test=16,
        box_roi_pool=MultiScaleRoIAlign(["0"], c4.REGION, 0),
        box_head=nn.Sequential(*network._last, nn.AdaptiveAvgPool2d(1)),
        box_predictor=network.heads.box_predictor,
        box_batch_size_per_image=16,
        box_score_thresh=0.0,
        mask_roi_pool=MultiScaleRoIAlign(["0"], c4.REGION, 0),
        mask_head=nn.Sequential(*network._last),
        mask_predictor=network.heads.mask_predictor,
    )
    return made


def test_the_plain_network_is_torchvisions() -> None:
    """Losses, and every detection, bit for bit, of images that need neither resizing nor padding."""
    network = small()
    images, targets = example()
    images, targets = images[:1], targets[:1]
    theirs = stock(network)
    prepared = list((images - network.backbone.mean) / network.backbone.std)
    torch.manual_seed(3)
    expected = theirs.train()(prepared, targets)
    torch.manual_seed(3)
    torch.empty(1).uniform_()  # theirs draws a size, of the one there is
    ours = network.train().losses(network(images), targets)
    assert ours.keys() == network.loss_weights.keys()
    assert {name: value.item() for name, value in ours.items()} == {
        name.removeprefix("loss_"): value.item() for name, value in expected.items()
    }

    theirs.eval()
    network.eval().heads.score_thresh = 0.0
    with torch.inference_mode():
        (expected,) = theirs(prepared)
        (found,) = network.detections(network(images), SIZES[:1])
    assert len(found["boxes"]) > 3
    for name in ("boxes", "labels", "scores"):
        assert torch.equal(found[name], expected[name]), name
    assert found["masks"].shape[2:] == (14, 14)


@pytest.mark.parametrize("kind", IDENTITIES)
def test_a_unit_that_is_the_identity_changes_no_bit(kind: str) -> None:
    """Losses, gradients of what both networks have, and detections."""
    plain, inserted = small(), small(IDENTITIES[kind])
    one, other = losses(plain), losses(inserted)
    assert all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()
    for found in (one, other):
        torch.stack([*found.values()]).sum().backward()
    theirs = dict(inserted.named_parameters())
    for name, parameter in plain.heads.named_parameters(prefix="heads"):
        assert torch.equal(parameter.grad, theirs[name].grad), name
    for first, second in zip(seen(plain), seen(inserted), strict=True):
        assert len(first["boxes"]) > 3
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", IDENTITIES)
def test_the_unit_learns_and_is_heard(kind: str) -> None:
    """The gradient reaches it, and what it adds is in boxes and masks."""
    network = small(IDENTITIES[kind])
    torch.stack([*losses(network).values()]).sum().backward()
    assert network.unit is not None
    if kind == "sgr":  # GloRe's zero start is a frozen batch norm: it learns from a trained start alone
        assert network.unit.expand.weight.grad.abs().max() > 0
        nn.init.normal_(network.unit.expand.weight)
    else:
        network.unit.norm.weight.fill_(3.0)
    before, after = seen(small()), seen(network)
    assert not torch.equal(before[0]["scores"], after[0]["scores"])
    network.zero_grad()
    torch.stack([*losses(network).values()]).sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_what_the_unit_adds_is_cut_at_the_box() -> None:
    """A map that is x of each cell's centre, in pixels: a region holds the x of its own cells' centres."""
    network = small(IDENTITIES["sgr"])
    maps = network(example()[0][:1])
    x = (torch.arange(3.0) * 32).expand(maps.shared.new_zeros(1, 128, 2, 3).shape)
    boxes = [torch.tensor([[8.0, 4.0, 50.0, 40.0]])]
    plain = network.regions({"shared": maps.shared}, boxes, SIZES[:1])
    added = network.regions({"shared": maps.shared, "added": x}, boxes, SIZES[:1]) - plain
    # torchvision's RoIAlign takes cell i to lie at pixel 32 i
    expected = 8 + (torch.arange(7) + 0.5) * 42 / 7
    torch.testing.assert_close(added, expected.expand(1, 128, 7, 7), rtol=0, atol=1e-3)


def test_batch_norm_is_frozen() -> None:
    network = small(IDENTITIES["glore"]).train()
    norms = [m for m in network.modules() if "BatchNorm" in type(m).__name__]
    assert len(norms) > 15 and all("Frozen" in type(m).__name__ for m in norms)
    assert not [name for m in norms for name, _ in m.named_parameters()]
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    torch.stack([*losses(network).values()]).sum().backward()
    assert all(torch.equal(before[name], buffer) for name, buffer in network.named_buffers())


@pytest.mark.parametrize("backbone", ["tiny_resnet", "efficientnet_lite0"])
def test_the_stages_are_the_whole_backbone(backbone: str) -> None:
    network = small(backbone=backbone).eval()
    images = example()[0]
    with torch.inference_mode():
        maps = network.backbone(images)
        shared = network(images).shared
        last = c4.run(network._last, shared)
    assert torch.equal(shared, maps[-2]) and torch.equal(last, maps[-1])
    assert shared.shape[2:] == (4, 6) and last.shape[2:] == (2, 3)


# The starts


def segmentation(row: str, path: Path) -> dict[str, Tensor]:
    """The network of a segmentation row, all its tensors random, as its training job leaves them."""
    network = build_segmentation(replace(tiny_row.training(row).network, classes=5))
    generator = torch.Generator().manual_seed(5)
    state = {
        name: value if value.dtype == torch.int64 else torch.rand(value.shape, generator=generator)
        for name, value in network.state_dict().items()
    }
    path.write_bytes(packed(state))
    return state


def test_the_starts_differ_in_what_they_start_from_alone(
    files: TransferFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the job of each row begins to train: backbone and unit are the start's, tensor by tensor.

    All other tensors are the same in the four.
    """
    begun: list[dict[str, Tensor]] = []
    monkeypatch.setattr(
        "sgr.detection.transfer.fit", lambda learner, *_: begun.append(learner.network.state_dict())
    )
    after: dict[str, dict[str, Tensor]] = {}
    for row in tiny_transfer.ROWS:
        settings = tiny_transfer.transfer(row)
        trained = tiny_row.entries()[f"transfer/{row}"].start
        path = tmp_path / f"{row}.safetensors"
        if trained:
            given = segmentation(trained, path)
            transfer(settings, replace(files, model=path), 0, tmp_path / row)
        else:
            given = segmentation("cocostuff10k-fcn-sgr", tmp_path / "x.safetensors")
            given = {k: v for k, v in given.items() if k.startswith("backbone.")}
            save_file({k.removeprefix("backbone.body."): v for k, v in given.items()}, path)
            transfer(settings, replace(files, weights=path), 0, tmp_path / row)
        after[row] = begun[-1]
        expected = {
            name: value
            for name, value in given.items()
            if name.startswith(("backbone.", "unit.")) and not name.endswith("num_batches_tracked")
        }
        own = {n: v for n, v in after[row].items() if n.startswith(("backbone.", "unit."))}
        assert own.keys() == expected.keys()
        assert all(torch.equal(own[name], expected[name]) for name in expected)
        has_unit = any(name.startswith("unit.") for name in own)
        assert has_unit == (settings.network.unit is not None)
    first, *others = (
        {n: v for n, v in state.items() if not n.startswith(("backbone.", "unit."))}
        for state in after.values()
    )
    assert len(first) > 8
    for other in others:
        assert other.keys() == first.keys() and all(torch.equal(first[n], other[n]) for n in first)


@pytest.mark.parametrize("there, here", [("sgr", None), (None, "sgr")])
def test_a_unit_is_neither_lost_nor_made_up(there: str | None, here: str | None) -> None:
    one, other = (small(IDENTITIES[kind] if kind else None) for kind in (there, here))
    state = {k: v for k, v in one.state_dict().items() if k.startswith(("backbone.", "unit."))}
    with pytest.raises(ValueError, match="unit"):
        c4.start_from(other, state)


# The job


def same(first: Path, second: Path) -> bool:
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in TRANSFER.artefacts)


def test_killed_and_resumed_ends_with_the_same_bits(files: TransferFiles, tmp_path: Path) -> None:
    """Sizes, flips and the sampling of boxes are random; other numbers of loader workers change nothing."""
    settings, killed = tiny_transfer.transfer("coco-sgr"), tmp_path / "killed"
    train = partial(tiny_row.train_in_process, settings, kind="transfer")
    assert train(files, tmp_path / "whole") == 0
    assert train(files, killed, die_at_step=4) == -signal.SIGKILL
    assert (killed / "checkpoint.pt").exists() and not (killed / "model.safetensors").exists()
    more = replace(files, run=replace(files.run, loader_workers=1))
    assert train(more, killed, die_while_saving=1) == -signal.SIGKILL
    assert train(files, killed) == 0
    assert same(tmp_path / "whole", killed)
    with open(killed / "curve.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["2", "4", "5"]
    assert set(rows[0]) == {"iteration", "learning_rate", "loss", *c4.LOSSES}


def test_steps_of_the_rate() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule, rates = steps(optimizer, [6, 8], 3), []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


# The samples


def images(files: TransferFiles, **changes: Any) -> TrainingImages:
    settings = {"length": 40, "seed": 0, "min_sizes": [40, 60], "max_size": 90, "flip": True} | changes
    return TrainingImages(Annotations(files.data, "train2017"), **settings)


def test_samples_are_functions_of_seed_and_position(files: TransferFiles) -> None:
    forward, backward = images(files), images(files)
    expected = [forward[position] for position in range(20)]
    for position in reversed(range(20)):
        again = backward[position]
        assert torch.equal(again["image"], expected[position]["image"])
        for name, value in expected[position]["target"].items():
            assert torch.equal(again["target"][name], value), name
    other = images(files, seed=1)
    assert any(
        expected[p]["image"].shape != other[p]["image"].shape
        or not torch.equal(expected[p]["image"], other[p]["image"])
        for p in range(5)
    )


def test_training_images_have_annotations_and_no_crowd(files: TransferFiles) -> None:
    annotations = Annotations(files.data, "train2017")
    chosen = images(files)
    empty = [image.id for image in annotations.images if not annotations.instances(image.id)]
    crowds = [i for image in annotations.images for i in annotations.instances(image.id) if i.crowd]
    assert empty and crowds, "the generated images must hold both"
    assert [n for n, image in enumerate(annotations.images) if image.id not in empty] == chosen.annotated
    counted = sum(len(chosen[position]["target"]["labels"]) for position in range(len(chosen.annotated)))
    things = sum(not i.crowd for image in annotations.images for i in annotations.instances(image.id))
    assert counted == things


def test_targets_follow_the_image(files: TransferFiles) -> None:
    """Masks fill their boxes at any size, and a mirrored target is the mirror of the plain one."""
    annotations = Annotations(files.data, "train2017")
    for image in annotations.images:
        things = [thing for thing in annotations.instances(image.id) if not thing.crowd]
        size = scaled((image.height, image.width), 2 * image.height, 10_000)
        assert size == (2 * image.height, 2 * image.width)
        plain = target(things, (image.height, image.width), size, mirrored=False)
        mirrored = target(things, (image.height, image.width), size, mirrored=True)
        assert torch.equal(mirrored["masks"], plain["masks"].flip(2))
        flipped = plain["boxes"].clone()
        flipped[:, [0, 2]] = size[1] - plain["boxes"][:, [2, 0]]
        torch.testing.assert_close(mirrored["boxes"], flipped)
        assert plain["labels"].tolist() == [thing.category + 1 for thing in things]
        for thing, box, mask in zip(things, plain["boxes"], plain["masks"], strict=True):
            assert torch.equal(
                mask, torch.from_numpy(thing.mask(image.height, image.width).repeat(2, 0).repeat(2, 1)).byte()
            )
            y, x = (mask > 0).nonzero(as_tuple=True)
            tight = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
            assert (tight - box).abs().max() <= 4  # two pixels of the image


def test_sizes_by_hand() -> None:
    assert scaled((480, 640), 800, 1333) == (800, 1067)
    assert scaled((400, 1000), 800, 1333) == (533, 1333)
    assert nearest(4, 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert nearest(8, 4).tolist() == [1, 3, 5, 7]


def test_images_of_several_sizes_are_padded_to_cells() -> None:
    items = [
        {"image": torch.full((3, h, w), 7, dtype=torch.uint8), "target": {"number": torch.tensor(n)}}
        for n, (h, w) in enumerate([(40, 70), (64, 33)])
    ]
    batch = collate(items, fill=(1, 2, 3))
    assert batch["image"].shape == (2, 3, 64, 96)
    assert batch["image"][0, :, :40, :70].eq(7).all() and batch["image"][1, :, :64, :33].eq(7).all()
    assert batch["image"][0, :, 50, 5].tolist() == batch["image"][1, :, 5, 50].tolist() == [1, 2, 3]
    assert [int(one["number"]) for one in batch["targets"]] == [0, 1]


def test_evaluation_images_are_all_of_them(files: TransferFiles) -> None:
    annotations = Annotations(files.data, "val2017")
    chosen = EvaluationImages(annotations, min_size=56, max_size=96)
    assert [item["id"] for item in (chosen[n] for n in range(len(chosen)))] == [
        image.id for image in annotations.images
    ]
    assert min(chosen[0]["image"].shape[1:]) == 56
    assert chosen[0]["size"] == (annotations.images[0].height, annotations.images[0].width)
    assert len(CATEGORY_IDS) == 80 and np.prod(chosen[0]["size"]) > 0


def test_learns_a_few_images_by_heart(tmp_path: Path) -> None:
    """Four images, an AP that takes a network in which all parts learn; 150 iterations reach 50 and 33."""
    tiny_transfer.make(tmp_path, train=4)
    found = average_precision_after(tmp_path / "coco", "train2017", 100, 96, tmp_path)
    print(found)
    assert (found["box_ap"] or 0) > 15 and (found["mask_ap"] or 0) > 8
