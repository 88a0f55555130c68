"""Gradients that lie on several ranks: counts are summed and maxima maxed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from src.diagnostics.gradient import zero_shape
from src.diagnostics.measuring.counts import measure_gradients
from src.diagnostics.measuring.details import measure_details


def whole_gradient() -> Tensor:
    grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    grad[1] = 0
    grad[:, 2] = 0
    return grad


def check_sharded() -> None:
    """Compare a module's sharded gradients with the whole ones, on every rank."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    grad, model = whole_gradient(), nn.Module()
    for name, placement in (("rows", Shard(0)), ("columns", Shard(1)), ("all", Replicate())):
        weight = nn.Parameter(distribute_tensor(torch.zeros(5, 3), mesh, [placement]))
        weight.grad = distribute_tensor(grad, mesh, [placement])
        setattr(model, name, weight)
    model.plain = nn.Parameter(torch.zeros(5, 3))
    model.plain.grad = grad.clone()
    stats = measure_gradients(model.named_parameters(), 0).result().parameters
    details = measure_details(model.named_parameters(), 0).result().parameters
    for name in ("rows", "columns", "all", "plain"):
        assert stats[name][:3] == (15, int(grad.count_nonzero()), 0), name
        assert stats[name].norm == pytest.approx(float(grad.norm()), rel=1e-6), name
        assert stats[name].max_abs == float(grad.abs().max()), name
        twin = zero_shape(grad)
        assert details[name].zeros.shares["rows"] == twin.rows / 15, name
        assert details[name].zeros.shares["columns"] == twin.columns / 15, name


def check_flat_shards() -> None:
    """Cut one gradient flat; a second one lies on the last rank alone, a third nowhere."""
    rank, world = dist.get_rank(), dist.get_world_size()
    grad, model = whole_gradient().flatten(), nn.Module()
    pieces = {"cut": grad.tensor_split(world)[rank], "last": grad if rank == world - 1 else None}
    for name, piece in (pieces | {"nowhere": None}).items():
        size = 0 if piece is None else piece.numel()
        parameter = nn.Parameter(torch.zeros(size))
        parameter.grad = piece
        setattr(model, name, parameter)
    pending = measure_gradients(model.named_parameters(), 0, shard_group=dist.group.WORLD)
    measurement = pending.result()
    assert measurement.missing == ("nowhere",)
    for name in ("cut", "last"):
        stats = measurement.parameters[name]
        assert stats[:3] == (15, int(grad.count_nonzero()), 0), name
        assert stats.norm == pytest.approx(float(grad.norm()), rel=1e-6), name
        assert stats.max_abs == float(grad.abs().max()), name


def run_rank(rank: int, world: int, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    try:
        check_sharded()
        check_flat_shards()
    finally:
        dist.destroy_process_group()


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[Any]:
    """A process group of this process alone."""
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_a_single_shard_is_the_whole_gradient() -> None:
    check_sharded()
    check_flat_shards()


@pytest.mark.slow
def test_shards_of_two_processes_measure_like_the_whole_gradient(tmp_path: Path) -> None:
    mp.spawn(run_rank, args=(2, str(tmp_path / "store")), nprocs=2)
