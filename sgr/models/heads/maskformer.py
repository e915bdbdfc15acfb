"""MaskFormer head (Cheng et al., NeurIPS 2021), from the parts of transformers.

A feature pyramid makes the pixel embeddings, a DETR decoder over the last map the queries. The losses after the layers
before the last one are computed here: the library's own skip the decoder's norm, and take the input of the first layer,
zero for every query, for one more layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.maskformer.configuration_maskformer import MaskFormerConfig, MaskFormerDetrConfig
from transformers.models.maskformer.modeling_maskformer import (
    MaskFormerHungarianMatcher,
    MaskformerMLPPredictionHead,
    MaskFormerPixelDecoder,
    MaskFormerPreTrainedModel,
    MaskFormerTransformerModule,
    dice_loss,
    sigmoid_focal_loss,
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


class MaskFormerHead(QueryHead):
    """MaskFormer over four feature maps.

    Void: a pixel counts unless it is void. The matching looks at the label of each mask cell's nearest pixel, as the
    library does, and leaves out the cells where that is void.

    Args:
        channels: of the maps, the finest first.
        classes: classes to predict.
        width: channels of queries, pyramid and masks; the feed-forward layers have eight times as many.
        queries: queries an image.
        layers: layers of the decoder.
        heads: attention heads.

    Raises:
        UserError: for a width that is no multiple of 32 and of the heads, or a size below 1.
    """

    def __init__(
        self, channels: list[int], classes: int, *, width: int, queries: int, layers: int, heads: int
    ) -> None:
        check(width=width, queries=queries, layers=layers, heads=heads)
        decoder = MaskFormerDetrConfig(
            d_model=width,
            num_queries=queries,
            decoder_layers=layers,
            decoder_attention_heads=heads,
            decoder_ffn_dim=8 * width,
        )
        config = MaskFormerConfig(decoder_config=decoder, fpn_feature_size=width, mask_feature_size=width)
        weights = {
            "classification": config.cross_entropy_weight,
            "mask": config.mask_weight,
            "dice": config.dice_weight,
        }
        super().__init__(classes, weights, auxiliary=layers > 1, null_weight=config.no_object_weight)
        self.pixel_decoder = MaskFormerPixelDecoder(
            in_features=channels[-1],
            lateral_widths=channels[:-1],
            feature_size=width,
            mask_feature_size=width,
        )
        self.transformer = MaskFormerTransformerModule(channels[-1], config)
        self.class_predictor = nn.Linear(width, classes + 1)
        self.mask_embedder = MaskformerMLPPredictionHead(width, width, width)
        self.matcher = MaskFormerHungarianMatcher(
            cost_class=1.0, cost_mask=config.mask_weight, cost_dice=config.dice_weight
        )
        initialise(self, MaskFormerPreTrainedModel(config))
        self._initialise_as_published()

    def _initialise_as_published(self) -> None:
        """The library draws these with deviation 0.02, for weights to be loaded: all queries then stay alike."""
        self.transformer.queries_embedder.reset_parameters()  # N(0, 1)
        for parameter in self.transformer.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in [self.class_predictor, *self.mask_embedder.modules()]:
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        nn.init.kaiming_uniform_(self.pixel_decoder.mask_projection.weight, a=1)

    def forward(self, features: list[Tensor]) -> QueryPrediction:
        """Mask logits at the resolution of the first map."""
        pixels = self.pixel_decoder(features).last_hidden_state
        decoded = self.transformer(features[-1], output_hidden_states=True)
        _, *before, _ = decoded.hidden_states  # not the first layer's input, nor the last's output
        queries = [*map(self.transformer.decoder.layernorm, before), decoded.last_hidden_state]
        *auxiliary, last = (self._answers(states, pixels) for states in queries)
        return QueryPrediction(*last, auxiliary)

    def _answers(self, queries: Tensor, pixels: Tensor) -> Answers:
        masks = torch.einsum("bqc,bchw->bqhw", self.mask_embedder(queries), pixels)
        return Answers(self.class_predictor(queries), masks)

    def match(self, answers: Answers, targets: list[Target]) -> list[Match]:
        """By class probability, focal and dice loss of the cells."""
        size = answers.mask_logits.shape[-2:]
        void = F.interpolate(torch.stack([target.void for target in targets])[:, None].float(), size)
        matches: list[Match] = self.matcher(
            answers.mask_logits.masked_fill(void.bool(), ABSENT),
            answers.class_logits,
            [target.masks for target in targets],
            [target.classes for target in targets],
        )
        return matches

    def mask_losses(self, logits: Tensor, masks: Tensor, void: Tensor) -> tuple[Tensor, Tensor]:
        """Focal and dice loss over pixels, of logits brought to the size of the labels."""
        logits = F.interpolate(logits[:, None], masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        pixels = logits.masked_fill(void, ABSENT).flatten(1)
        return sigmoid_focal_loss(pixels, masks.flatten(1), 1), dice_loss(pixels, masks.flatten(1), 1)


head = MaskFormerHead  # as `sgr.models.build` calls it
