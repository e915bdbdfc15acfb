"""ProtoSeg's classifier (Zhou et al., Rethinking Semantic Segmentation: A Prototype View, CVPR 2022).

Each class has K prototypes on the unit sphere, which no gradient moves: they are moving averages of the embeddings that
clustering assigns to them.

Dimensions: B images, h x w cells, N = B * h * w, C classes, K prototypes of each, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sgr import ranks
from sgr.data.files import IGNORE
from sgr.models.heads.pixels import PixelHead, PixelPrediction
from sgr.sinkhorn import sinkhorn

CHUNK = 16384  # cells compared with all prototypes at once; at 1710 prototypes, 112 MB


class PrototypeHead(PixelHead):
    """decoder -> projection to unit embeddings -> class of the nearest prototype.

    The projection, the layer norms and the random start are those of the authors' code (tfzhou/ProtoSeg), where the
    paper leaves them open. Where the two differ this is the paper, but for two points that train better as in the
    code: class scores go through a layer norm over classes, since a softmax of bare cosines can hardly prefer
    a class, and correctly classified cells alone move prototypes. Not taken from the code: Gumbel noise on the
    assignment that moves prototypes, a contrast without temperature, and 0.001 as the weight of the distance.

    Args:
        decoder: feature maps to (B, D, h, w).
        width: D.
        classes: C.
        auxiliary: None, or feature maps to class logits, for the loss alone.
        prototypes: K.
        momentum: mu, of a prototype's moving average.
        kappa, iterations: of Sinkhorn.
        temperature: tau of the contrast.
        contrast, distance: weights of the two losses.
    """

    prototypes: Tensor

    def __init__(
        self,
        decoder: nn.Module,
        width: int,
        classes: int,
        auxiliary: nn.Module | None,
        *,
        prototypes: int,
        momentum: float,
        kappa: float,
        iterations: int,
        temperature: float,
        contrast: float,
        distance: float,
    ) -> None:
        projection = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))
        super().__init__(decoder, projection, auxiliary)
        self.embedding_norm, self.class_norm = nn.LayerNorm(width), nn.LayerNorm(classes)
        self.register_buffer("prototypes", F.normalize(torch.randn(classes, prototypes, width), dim=-1))
        self.momentum, self.temperature = momentum, temperature
        self.kappa, self.iterations = kappa, iterations
        self.loss_weights |= {"contrast": contrast, "distance": distance}

    def forward(self, features: list[Tensor]) -> PixelPrediction:
        """Logits and unit embeddings (B, D, h, w) at the decoder's resolution, in float32."""
        auxiliary = None if self.auxiliary is None else self.auxiliary(features)
        projected = self.classifier(self.decoder(features))
        with torch.autocast(projected.device.type, enabled=False):
            x = projected.to(self.prototypes.dtype).permute(0, 2, 3, 1)
            units = F.normalize(self.embedding_norm(x), dim=-1)  # (B, h, w, D)
            parts = [similarities(part, self.prototypes).amax(1) for part in units.flatten(0, 2).split(CHUNK)]
            logits = self.class_norm(torch.cat(parts)).unflatten(0, units.shape[:3]).permute(0, 3, 1, 2)
        # upsampling and cross-entropy are twice as fast on contiguous logits
        return PixelPrediction(logits.contiguous(), auxiliary, units.permute(0, 3, 1, 2))

    def losses(self, prediction: PixelPrediction, labels: Tensor) -> dict[str, Tensor]:
        """Those of `PixelHead`, `contrast` and `distance`, means over labelled cells.

        A cell has the label of the pixel under its centre. In training this also moves the prototypes.
        """
        named = super().losses(prediction, labels)
        logits, _, embeddings = prediction
        assert embeddings is not None
        C, K, _ = self.prototypes.shape
        size = (logits.shape[2], logits.shape[3])
        cells = F.interpolate(labels[:, None].float(), size, mode="nearest-exact").flatten().long()  # (N,)
        labelled = cells != IGNORE
        with torch.autocast(logits.device.type, enabled=False):
            units = embeddings.permute(0, 2, 3, 1).flatten(0, 2)  # (N, D)
            own, total = self._compared(units, cells.where(labelled, 0))
            group = cells.where(labelled, C)  # unlabelled cells are a group apart
            with torch.no_grad():
                shares = sinkhorn(own, group, C + 1, kappa=self.kappa, iterations=self.iterations)
                assigned = shares.argmax(1)  # (N,) the prototype of each cell
            positive = own.gather(1, assigned[:, None]).squeeze(1)
            count = ranks.divisor(labelled.sum())
            named["contrast"] = (labelled * (total - positive / self.temperature)).sum() / count
            named["distance"] = (labelled * (1 - positive).square()).sum() / count
            if self.training:
                correct = logits.argmax(1).flatten() == cells
                slot = (cells * K + assigned).where(correct, C * K)
                # a new tensor: backward still needs the old one
                self.prototypes = moved(self.prototypes, units.detach(), slot, self.momentum)
        return named

    def _compared(self, units: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Similarities to the own class (N, K), and log sum exp(similarity / tau) over all prototypes (N,)."""

        def compare(part: Tensor, own: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
            table = similarities(part, prototypes)
            index = own[:, None, None].expand(-1, table.shape[1], 1)
            return table.gather(2, index).squeeze(2), (table / self.temperature).flatten(1).logsumexp(1)

        parts = [
            # backward computes the table again, so that only one chunk of it is ever held
            checkpoint(compare, part, own, self.prototypes, use_reentrant=False, preserve_rng_state=False)
            for part, own in zip(units.split(CHUNK), cells.split(CHUNK), strict=True)
        ]
        own, total = zip(*parts, strict=True)
        return torch.cat(own), torch.cat(total)


def similarities(units: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines (N, K, C) of unit embeddings (N, D) and prototypes (C, K, D)."""
    C, K, _ = prototypes.shape
    return (units @ prototypes.transpose(0, 1).flatten(0, 1).T).view(-1, K, C)


@torch.no_grad()
def moved(prototypes: Tensor, units: Tensor, slot: Tensor, momentum: float) -> Tensor:
    """Prototypes (C, K, D) after a step towards the normalised mean of the embeddings of each, on the sphere.

    The embeddings of all ranks count.

    Args:
        units: (N, D).
        slot: (N,), c * K + k for an embedding of prototype k of class c, C * K for one that counts nowhere.
    """
    sums = units.new_zeros(prototypes[..., 0].numel() + 1, units.shape[1]).index_add(0, slot, units)
    sums = ranks.total(sums[:-1]).view_as(prototypes)
    step = F.normalize(momentum * prototypes + (1 - momentum) * F.normalize(sums, dim=-1), dim=-1)
    return step.where(sums.any(-1, keepdim=True), prototypes)
