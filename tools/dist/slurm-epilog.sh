#!/bin/sh
# The end of a Slurm job script, or a TaskEpilog: brings what the job has logged to the server. Each job writes to a SQLite
# file or a directory of its own, so no two jobs wait for each other and a node needs the network only here.
#
#   export MLFLOW_TRACKING_URI=sqlite:///$SLURM_SUBMIT_DIR/jobs/$SLURM_JOB_ID/mlflow.db
#   srun python train.py
#   sh slurm-epilog.sh "$SLURM_SUBMIT_DIR/jobs/$SLURM_JOB_ID/mlflow.db"
#
# TARGET is the server's database. A job that is run again, or that goes on, is brought up to date by the same line.
set -eu
source=$1
: "${TARGET:=postgresql://mlflow@db/mlflow}"
exec ml-sync --source "$source" --target "$TARGET" --state "$(dirname "$source")/.ml-sync"
