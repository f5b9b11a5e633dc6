#!/bin/bash
# Every stage after `prepare` as jobs that wait for each other: bash submit.sh STUDY SUBJECT [SHARDS]
# Submitted again after a failure, stages that are done end at once, and the others go on where they were.
set -euo pipefail
study=$1
subject=$2
shards=${3:-8}
job="$(dirname "$0")/semvideo.sbatch"

submit() { # the job to wait for, or none; then options of sbatch, the file, and the command
  local after=$1
  shift
  if [ "$after" != none ]; then set -- --dependency="afterok:$after" "$@"; fi
  sbatch --parsable "$@"
}

mine=$(submit none --array="1-$shards" "$job" mine --study "$study" --backend transformers --model qwen2.5-vl-7b)
targets=$(submit "$mine" "$job" targets --study "$study" --bundle sd15)
train=$(submit "$targets" --gres=gpu:4 "$job" train --study "$study" --subject "$subject" --recipe paper)
decode=$(submit "$train" "$job" decode --study "$study" --subject "$subject")
render=$(submit "$decode" --array="1-$shards" "$job" render --study "$study" --subject "$subject")
evaluate=$(submit "$render" "$job" evaluate --study "$study" --subject "$subject")
explain=$(submit "$evaluate" "$job" explain --study "$study" --subject "$subject")
report=$(submit "$explain" "$job" report --study "$study" --subject "$subject")
echo "jobs $mine to $report"
