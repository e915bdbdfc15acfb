"""Compare what a job asks of SLURM with what the cluster has, before anything is submitted."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sgr.errors import UserError
from sgr.jobs.cluster import Cluster, minutes
from sgr.jobs.slurm.squeue import ask


class Nodes(NamedTuple):
    """Alike nodes of one partition, as sinfo lists them; `longest`: the partition's time limit in minutes, if any."""

    partition: str
    default: bool
    nodes: int
    features: set[str]
    memory_gb: int
    cpus: int
    gpus: int
    longest: int | None


def check(cluster: Cluster) -> None:
    """Refuse settings of `slurm` that no job can ever start with, be the nodes idle, busy or down.

    Account and QOS are left to sbatch. Where sinfo does not answer, nothing is said here.

    Raises:
        UserError: naming the setting, and what the cluster has.
    """
    try:
        listed = ask("sinfo", "--all", "--exact", "--noheader", "--format=%P|%D|%f|%m|%c|%G|%l")
    except UserError:
        return
    nodes = [_nodes(line) for line in listed.splitlines()]
    asked = cluster.slurm
    if asked.partition:
        names = sorted({found.partition for found in nodes})
        for name in asked.partition.split(","):
            if name not in names:
                raise _wrong("partition", asked.partition, f"the partitions here are {', '.join(names)}")
        nodes = [found for found in nodes if found.partition in asked.partition.split(",")]
    else:
        nodes = [found for found in nodes if found.default] or nodes
    features = set().union(*(found.features for found in nodes))
    for name in filter(None, re.split(r"[&|,()\[\]]|\*\d+", asked.constraint or "")):
        if name not in features:
            has = ", ".join(sorted(features)) or "no features"
            raise _wrong("constraint", asked.constraint, f"the nodes of the partition have {has}")
    for setting, a_node, most in (
        ("memory_gb", asked.memory_gb, max(found.memory_gb for found in nodes)),
        ("cpus", asked.cpus * asked.processes // asked.nodes, max(found.cpus for found in nodes)),
        ("gpus_per_job", asked.gpus_per_job // asked.nodes, max(found.gpus for found in nodes)),
    ):
        if a_node > most:
            more = f", which makes {a_node} a node" if a_node != getattr(asked, setting) else ""
            raise _wrong(setting, getattr(asked, setting), f"the largest node has {most}", more)
    if asked.nodes > (count := sum(found.nodes for found in nodes)):
        raise _wrong("nodes", asked.nodes, f"the partition has {count}")
    limits = [found.longest for found in nodes if found.longest is not None]
    if len(limits) == len(nodes) and asked.time > max(limits):
        raise _wrong("time", f"{asked.time} minutes", f"the partition allows {max(limits)} minutes")


def _wrong(setting: str, value: Any, has: str, more: str = "") -> UserError:
    return UserError(f"cluster.yaml: `slurm.{setting}` is {value}{more}, but {has}")


def _nodes(line: str) -> Nodes:
    partition, nodes, features, memory, cpus, gres, longest = line.split("|")
    return Nodes(
        partition.removesuffix("*"),
        partition.endswith("*"),
        int(nodes),
        set() if features == "(null)" else set(features.split(",")),
        int(memory.rstrip("+")) // 1024,
        int(cpus.rstrip("+")),
        sum(int(number) for number in re.findall(r"\bgpu:(?:[^:,(]+:)?(\d+)", gres)),
        None if longest == "infinite" else minutes(longest),
    )
