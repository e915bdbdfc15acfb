#!/bin/bash
# Chromium, as root on Debian 12, unless it is there. Usage: install.sh
set -euo pipefail
command -v chromium >/dev/null && exit
export DEBIAN_FRONTEND=noninteractive
said=$(apt-get update 2>&1 && apt-get install -y --no-install-recommends chromium fonts-dejavu-core 2>&1) ||
  { tail -n 20 <<<"$said"; exit 1; }
