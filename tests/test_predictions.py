"""The predictions that figures show are those that the evaluation counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sgr.evaluation.inference import single_and_multi_scale
from sgr.evaluation.predictions import predict
from sgr.evaluation.settings import Seen
from sgr.files import write_bytes
from sgr.models.network import build
from sgr.models.weights_file import packed
from tests.networks import settings, sgr


def test_predictions_are_the_single_scale_classes_of_each_network(tmp_path: Path) -> None:
    rows, models, expected = {}, {}, {}
    images = [np.random.default_rng(seed).integers(0, 256, (40, 52 + seed, 3), np.uint8) for seed in (0, 1)]
    for seed, (row, unit) in enumerate({"plain": None, "with-sgr": sgr(heads=2)}.items()):
        torch.manual_seed(seed)
        seen = Seen("camvid", settings("fcn", "tiny_resnet", 8, unit, width=16), 0.5, True, 1)
        network = build(seen.network).eval()
        models[row], rows[row] = tmp_path / f"{row}.safetensors", seen
        write_bytes(models[row], packed(network.state_dict()))
        for number, image in enumerate(images):
            pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
            size = (image.shape[0], image.shape[1])
            found, _ = single_and_multi_scale(network, pixels, size, resize=0.5, scales=[], flip=False)
            expected[f"{row}_{number}"] = found[0].numpy()
    np.savez(tmp_path / "tokens.npz", count=np.array(2), image_0=images[0], image_1=images[1])
    predict(rows, models, tmp_path / "tokens.npz", tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz") as data:
        assert {*data.files} == expected.keys()
        for name, of_classes in expected.items():
            assert data[name].dtype == np.uint8 and data[name].shape == of_classes.shape
            assert (data[name] == of_classes).mean() > 0.99  # channels_last may round another way
    once = (tmp_path / "predictions.npz").read_bytes()
    predict(rows, models, tmp_path / "tokens.npz", tmp_path / "predictions.npz")
    assert (tmp_path / "predictions.npz").read_bytes() == once
