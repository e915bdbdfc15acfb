#!/bin/bash
# Stop what up.sh started, jobs first, then each daemon by its pid file, and remove what it wrote. Usage: down.sh [BASE]
set -uo pipefail
PATH=$PATH:/usr/sbin:/sbin  # where the daemons are, and a user's PATH may not be
BASE=${1:-/tmp/one-node-slurm}

stop() { # name, pid file
  local pid
  pid=$(cat "$2" 2>/dev/null) || return 0
  # The id may belong to another process by now.
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ]; then
    kill "$pid"
    for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    [ ! -d "/proc/$pid" ] || kill -KILL "$pid"
    echo "$1 stopped"
  fi
  rm -f "$2"
}

# Running steps outlive slurmd on purpose, so the jobs go first.
if [ -s "$BASE/run/slurmctld.pid" ] && timeout 5 scontrol ping >/dev/null 2>&1; then
  squeue --noheader --format=%A | xargs -r timeout 10 scancel
  for _ in $(seq 150); do [ -z "$(squeue --noheader 2>/dev/null)" ] && break; sleep 0.1; done
fi
stop slurmd "$BASE/run/slurmd.pid" &
stop slurmctld "$BASE/run/slurmctld.pid" &
stop munged "$BASE/run/munged.pid" &
wait
# With a configuration but no daemon every command of SLURM would try for ten seconds.
if [ -d "$BASE" ] && grep -qsx ClusterName=test /etc/slurm/slurm.conf; then rm /etc/slurm/slurm.conf; fi
rm -rf "$BASE"
