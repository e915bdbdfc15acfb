"""The weights of a training are what was written, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgr.errors import UserError
from sgr.models.weights_file import packed, read

STATE = {
    "conv.weight": torch.arange(24.0).view(2, 3, 2, 2).contiguous(memory_format=torch.channels_last),
    "norm.num_batches_tracked": torch.tensor(7),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "none": torch.ones(0),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(STATE))
    return path


def test_read_as_written_by_this_and_by_safetensors(file: Path) -> None:
    for found in (read(file), load_file(file)):
        assert found.keys() == STATE.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())
    assert packed(read(file)) == file.read_bytes()


def test_every_flipped_bit_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        file.write_bytes(changed)
        try:
            found = read(file)
        except UserError as error:
            assert str(error).startswith(f"{file} ") and str(error).endswith(
                ": delete it, and `dvc repro` brings it back"
            )
        else:  # between the tokens of the header, where it says the same
            assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items()), position


@pytest.mark.parametrize("size", [0, 4, 100, -1])
def test_cut_off(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=r"cannot be read \(.*\): delete it"):
        read(file)


def test_missing_and_foreign(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "model.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="changed after its training"):
        read(tmp_path / "model.safetensors")
