"""The order of training samples: a pure function of seed and position, whoever loads them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Order:
    """Position in training -> sample: each epoch visits every sample once, in a permutation of its own.

    Args:
        count: number of samples.
        seed: non-negative.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch = -1
        self._permutation: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def at(self, position: int) -> tuple[int, np.random.Generator]:
        """The sample's index, and the random numbers of its augmentation at this position."""
        epoch, slot = divmod(position, self.count)
        if epoch != self._epoch:
            # No index equals `count`, so that this stream is none of the augmentations'.
            self._permutation = np.random.default_rng([self.seed, epoch, self.count]).permutation(self.count)
            self._epoch = epoch
        index = int(self._permutation[slot])
        return index, np.random.default_rng([self.seed, epoch, index])
