"""Mask R-CNN C4 (He et al., ICCV 2017) on the backbone and unit of a segmentation network.

Proposals, heads and losses are torchvision's parts.

C4: all stages of the backbone but the last run on the image, at stride 16; proposals come from that map, and the last
stage runs on each region of 14 x 14 cells cut from it. Where there is a unit, the last stage also runs once on the
whole image, as the unit reasons about that: what it adds to the map is cut at each region and added to the
region's own. With a unit that is the identity the network is the plain C4, bit for bit.

Dimensions: B images, H x W pixels, C channels of the second last map, D of the last, R regions of h x w cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import roi_align

from sgr.detection.settings import STRIDE, DetectorSettings
from sgr.models.backbone import Backbone

REGION = 14  # cells a side of a region of the second last map
RATIOS = (0.5, 1.0, 2.0)  # height by width of the anchors
LOSSES = ("objectness", "rpn_box_reg", "classifier", "box_reg", "mask")

Target = dict[str, Tensor]


class Maps(NamedTuple):
    """The images (B, 3, H, W), the second last map (B, C, H/16, W/16), and what the unit adds to the last one.

    That is (B, D, H/32, W/32), or None without a unit.
    """

    images: Tensor
    shared: Tensor
    added: Tensor | None


class MaskRCNN(nn.Module):
    """Backbone, perhaps a unit, region proposals and heads; batch norm of backbone and unit is frozen.

    Args:
        backbone: convolutional, of stride 32.
        unit: None, `sgr.SGR` or `sgr.GloRe` for the last map.
        classes: of things; the background is one more.
        anchors: sides of the square anchors, in pixels.
        proposals: regions of an image to classify in evaluation; twice as many in training, six times as many before
            non-maximum suppression (as Detectron2's C4).
        boxes: of the proposals, those that the heads learn from, at most a quarter of them of things.

    Attributes:
        loss_weights: weight of each named loss.
    """

    def __init__(
        self,
        backbone: Backbone,
        unit: nn.Module | None,
        *,
        classes: int,
        anchors: tuple[int, ...],
        proposals: int,
        boxes: int,
    ) -> None:
        super().__init__()
        self.backbone = freeze_batch_norm_2d(backbone)
        self.unit = None if unit is None else freeze_batch_norm_2d(unit)
        # lists, not modules: the layers keep the names that they have in the segmentation network
        self._shared, self._last = stages(self.backbone.body)
        C, D = backbone.channels[-2:]
        generator = AnchorGenerator((anchors,), (RATIOS,))
        self.proposals = RegionProposalNetwork(
            generator,
            RPNHead(C, generator.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 12 * proposals, "testing": 6 * proposals},
            post_nms_top_n={"training": 2 * proposals, "testing": proposals},
            nms_thresh=0.7,
        )
        self.heads = RoIHeads(
            self.regions,
            nn.AdaptiveAvgPool2d(1),
            FastRCNNPredictor(D, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=boxes,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=0.05,
            nms_thresh=0.5,
            detections_per_img=100,
            mask_roi_pool=self.regions,
            mask_head=nn.Identity(),
            mask_predictor=MaskRCNNPredictor(D, 256, classes + 1),
        )
        self.loss_weights = dict.fromkeys(LOSSES, 1.0)

    def forward(self, images: Tensor) -> Maps:
        """images: (B, 3, H, W) in 0..255, H and W multiples of 32."""
        shared = run(self._shared, (images - self.backbone.mean) / self.backbone.std)
        if self.unit is None:
            return Maps(images, shared, None)
        last = run(self._last, shared)
        return Maps(images, shared, self.unit(last).features - last)

    def regions(self, maps: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """Features of boxes (R_i, 4) of each image, in pixels x0, y0, x1, y1: (R, D, h, w). `sizes` has no use here."""
        own = run(self._last, roi_align(maps["shared"], boxes, REGION, 2 / STRIDE))
        if "added" not in maps:
            return own
        return own + roi_align(maps["added"], boxes, own.shape[2:], 1 / STRIDE)

    def losses(self, maps: Maps, targets: list[Target]) -> dict[str, Tensor]:
        """`objectness` and `rpn_box_reg` of the proposals; `classifier`, `box_reg` and `mask` of the heads.

        Args:
            maps: of `forward`.
            targets: for each image, `boxes` (N, 4) in pixels x0, y0, x1, y1, `labels` (N,) from 1 on, and `masks`
                (N, height, width) of 0 and 1, whose size is that of the image without padding.
        """
        sizes = [(target["masks"].shape[1], target["masks"].shape[2]) for target in targets]
        boxes, of_proposals = self.proposals(ImageList(maps.images, sizes), {"0": maps.shared}, targets)
        _, of_heads = self.heads(_named(maps), boxes, sizes, targets)
        return {name.removeprefix("loss_"): value for name, value in (of_proposals | of_heads).items()}

    @torch.inference_mode()
    def detections(self, maps: Maps, sizes: list[tuple[int, int]]) -> list[Target]:
        """What is seen in each image: `boxes` (N, 4), `labels` (N,) from 1 on, `scores` (N,), `masks` (N, 1, 2h, 2w).

        Args:
            maps: of `forward`, in evaluation mode.
            sizes: height and width of each image without padding.
        """
        boxes, _ = self.proposals(ImageList(maps.images, sizes), {"0": maps.shared})
        found: list[Target] = self.heads(_named(maps), boxes, sizes)[0]
        return found


def build(settings: DetectorSettings) -> MaskRCNN:
    """The network of one row, with random weights; its backbone is a convolutional one of stride STRIDE."""
    with torch.random.fork_rng(devices=[]):  # rows that differ in it start from the same proposals and heads
        trunk = Backbone(settings.backbone)
        unit = settings.unit.make(trunk.channels[-1]) if settings.unit else None
    return MaskRCNN(
        trunk,
        unit,
        classes=settings.classes,
        anchors=settings.anchors,
        proposals=settings.proposals,
        boxes=settings.boxes,
    )


def start_from(network: MaskRCNN, tensors: dict[str, Tensor]) -> None:
    """Take backbone and unit of a segmentation network; its head is left out.

    Args:
        tensors: its state by name.

    Raises:
        ValueError: if one of the two networks has a unit and the other has none.
    """
    parts = ["backbone"] if network.unit is None else ["backbone", "unit"]
    found = sorted({name.partition(".")[0] for name in tensors} - {"head"})
    if found != parts:
        raise ValueError(f"the start has {' and '.join(found)}, the network {' and '.join(parts)}")
    for part in parts:
        own = {k.removeprefix(f"{part}."): v for k, v in tensors.items() if k.startswith(f"{part}.")}
        getattr(network, part).load_state_dict(own)


def stages(body: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers of timm's ResNet or EfficientNet up to the second last map, and those of the last stage."""
    layers: dict[str, nn.Module] = {}
    for name, child in body.named_children():
        layers |= {f"{name}.{k}": v for k, v in child.named_children()} if name == "blocks" else {name: child}
    info: Any = body.feature_info
    cut = [*layers].index(info.module_name(-2)) + 1
    return [*layers.values()][:cut], [*layers.values()][cut:]


def run(layers: list[nn.Module], x: Tensor) -> Tensor:
    """x through the layers."""
    for layer in layers:
        x = layer(x)
    return x


def _named(maps: Maps) -> dict[str, Tensor]:
    """What torchvision's heads hand on to `regions`."""
    return {"shared": maps.shared} | ({} if maps.added is None else {"added": maps.added})
