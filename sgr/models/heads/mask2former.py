"""Mask2Former head (Cheng et al., CVPR 2022), from the parts of transformers.

A pixel decoder of deformable attention over the three coarser maps, masked attention between queries and its maps, and
losses at sampled points. Matching and sampling are computed here, as the library's do not know of void.
"""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from transformers.models.mask2former.configuration_mask2former import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerTransformerModule,
    dice_loss,
    pair_wise_dice_loss,
    pair_wise_sigmoid_cross_entropy_loss,
    sample_point,
    sigmoid_cross_entropy_loss,
)

from sgr.models.heads.queries import (
    ABSENT,
    Answers,
    Match,
    QueryHead,
    QueryPrediction,
    Target,
    check,
    initialise,
)


class Mask2FormerHead(QueryHead):
    """Mask2Former over four feature maps.

    Void: labels and logits are interpolated at points between pixels. A point counts unless one of the pixels that its
    label is interpolated from is void; the points where a mask is most uncertain are sought among those that count.

    Args:
        channels: of the maps, the finest first.
        classes: classes to predict.
        width: channels of queries, pixel decoder and masks; the feed-forward layers have eight times as many, those of
            the pixel decoder four times.
        queries: queries an image.
        layers: layers of the decoder; the pixel decoder has two for every three of them, six for the published nine.
        heads: attention heads of both.
        points: points a mask in matching and losses.

    Raises:
        UserError: for a width that is no multiple of 32 and of the heads, or a size below 1.
    """

    def __init__(
        self,
        channels: list[int],
        classes: int,
        *,
        width: int,
        queries: int,
        layers: int,
        heads: int,
        points: int,
    ) -> None:
        check(width=width, queries=queries, layers=layers, heads=heads, points=points)
        config = Mask2FormerConfig(
            feature_size=width,
            mask_feature_size=width,
            hidden_dim=width,
            encoder_feedforward_dim=4 * width,
            dim_feedforward=8 * width,
            encoder_layers=max(1, 2 * layers // 3),
            decoder_layers=layers + 1,  # the library counts the answers before the first layer as one
            num_attention_heads=heads,
            num_queries=queries,
        )
        weights = {
            "classification": config.class_weight,
            "mask": config.mask_weight,
            "dice": config.dice_weight,
        }
        super().__init__(classes, weights, auxiliary=True, null_weight=config.no_object_weight)
        self.points = points
        self.candidates = int(config.oversample_ratio * points)
        self.uncertain = int(config.importance_sample_ratio * points)
        self.pixel_decoder = Mask2FormerPixelDecoder(config, channels)
        self.transformer = Mask2FormerTransformerModule(width, config)
        self.class_predictor = nn.Linear(width, classes + 1)
        initialise(self, Mask2FormerPreTrainedModel(config))

    def forward(self, features: list[Tensor]) -> QueryPrediction:
        """Mask logits at the resolution of the first map."""
        pixels = self.pixel_decoder(features)
        decoded = self.transformer(pixels.multi_scale_features, pixels.mask_features)
        *auxiliary, last = (
            Answers(self.class_predictor(states.transpose(0, 1)), masks)
            for states, masks in zip(
                decoded.intermediate_hidden_states, decoded.masks_queries_logits, strict=True
            )
        )
        return QueryPrediction(*last, auxiliary)

    @torch.no_grad()
    def match(self, answers: Answers, targets: list[Target]) -> list[Match]:
        """By class probability, cross-entropy and dice loss at random points, the same for all masks of an image."""
        matches = []
        for class_logits, mask_logits, target in zip(*answers, targets, strict=True):
            points = torch.rand(1, self.points, 2, device=mask_logits.device)
            void = at(points, target.void[None].float()) > 0  # (1, points)
            logits = at(points, mask_logits).masked_fill(void, ABSENT)
            masks = at(points, target.masks).masked_fill(void, 0)
            cost = (
                self.loss_weights["mask"] * pair_wise_sigmoid_cross_entropy_loss(logits, masks)
                - self.loss_weights["classification"] * class_logits.softmax(-1)[:, target.classes]
                + self.loss_weights["dice"] * pair_wise_dice_loss(logits, masks)
            )
            worst = torch.finfo(cost.dtype).max  # a diverged network is told from its loss, not here
            cost = cost.nan_to_num(nan=worst, posinf=worst, neginf=worst)
            rows, columns = linear_sum_assignment(cost.cpu().numpy())
            matches.append((torch.as_tensor(rows), torch.as_tensor(columns)))
        return matches

    def mask_losses(self, logits: Tensor, masks: Tensor, void: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and dice loss at sampled points."""
        with torch.no_grad():
            points = self._sample(logits, void.float())
            outside = at(points, void.float()) > 0
            wanted = at(points, masks).masked_fill(outside, 0)
        found = at(points, logits).masked_fill(outside, ABSENT)
        return sigmoid_cross_entropy_loss(found, wanted, 1), dice_loss(found, wanted, 1)

    def _sample(self, logits: Tensor, void: Tensor) -> Tensor:
        """(M, points, 2) in 0..1: the most uncertain of the candidates, and some more at random."""
        candidates = torch.rand(len(logits), self.candidates, 2, device=logits.device)
        uncertainty = -at(candidates, logits).abs()
        uncertainty = uncertainty.masked_fill(at(candidates, void) > 0, -torch.inf)
        chosen = uncertainty.topk(self.uncertain, 1).indices[..., None].expand(-1, -1, 2)
        rest = torch.rand(len(logits), self.points - self.uncertain, 2, device=logits.device)
        return torch.cat([candidates.gather(1, chosen), rest], 1)


def at(points: Tensor, maps: Tensor) -> Tensor:
    """Maps (M, h, w) interpolated at points (M or 1, P, 2), (x, y) in 0..1 of the map's size: (M, P)."""
    values: Tensor = sample_point(maps[:, None], points.expand(len(maps), -1, -1), align_corners=False)
    return values[:, 0]


head = Mask2FormerHead  # as `sgr.models.build` calls it
