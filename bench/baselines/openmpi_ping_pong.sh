#!/bin/sh
# Starts the ping-pong of Open MPI on two ranks: openmpi_ping_pong.sh PROGRAM
# A coprocess: numbers of round trips in, seconds of one round trip out. Leaves nothing behind when its input ends.
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
mkfifo "$directory/orders"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
mpirun -n 2 "$1" "$directory/orders"
