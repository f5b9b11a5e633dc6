#!/usr/bin/env bash
# Everything that only a GPU can tell, in at most eight minutes on one of 80 GB, without network:
#   bash tests/gpu/campaign.sh OUT             writes OUT/gpu.json as it goes, each part under a time limit of its own
#   bash tests/gpu/campaign.sh OUT --dry-run   the same on the CPU at tiny size (CI)
#   WHEELS=folder ...                          packages that the machine's Python lacks, as wheels
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out="$1"; shift
mkdir -p "$out"
if [ -n "${WHEELS:-}" ]; then
  site="$(mktemp -d)"
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" HF_HUB_OFFLINE=1 SEMVIDEO_QUIET=1 PYTHONUNBUFFERED=1 PYTORCH_NVML_BASED_CUDA_CHECK=1
exec timeout -k 10 "${LIMIT:-480}" python3 tests/gpu/campaign.py "$out" "$@"
