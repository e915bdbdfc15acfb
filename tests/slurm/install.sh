#!/bin/bash
# SLURM's daemons and commands, as root on Debian 12, unless they are there. Usage: install.sh
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # where the daemons are, and a user's PATH may not be
for command in slurmctld slurmd munged sbatch; do
  command -v $command >/dev/null && continue
  export DEBIAN_FRONTEND=noninteractive
  said=$(apt-get update 2>&1 && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge 2>&1) ||
    { tail -n 20 <<<"$said"; exit 1; }
  break
done
