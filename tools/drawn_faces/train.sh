#!/bin/sh
# Draws scenes, trains drawnface on them, evaluates it on unseen styles and exports it.
# Run again with the same folder, it resumes where it stopped.
#
#   tools/drawn_faces/train.sh DATA WORK [PARTS [STEPS [OPTION OF train.py ...]]]
#
# DATA has the images listed in facecrop/detectors/drawnface.json. A part is 1,000 scenes (default:
# 20 parts, 10,000 steps). JOBS processes draw (default: 2). On two cores:
#
#   train.sh DATA WORK 20 10000 --bf16
#   train.sh DATA WORK 6 4000 --bf16 --start FILE.onnx    (an absolute path: begin with its weights)
#
# On a GPU, with more of everything:
#
#   JOBS=16 train.sh DATA WORK 100 30000 --bf16 --device cuda --batch 64 --rate 0.003
set -eu
data=$(realpath "$1") work=$(realpath -m "$2") parts=${3:-20} steps=${4:-10000}
shift "$(($# < 4 ? $# : 4))"
cd "$(dirname "$0")"
export PYTHONPATH=../.. OMP_NUM_THREADS=1
mkdir -p "$work"
[ -e "$work/backgrounds.npy" ] || python photographs.py --videos "$data/videos" --out "$work/backgrounds.npy"
export data work
seq "$parts" | xargs -P "${JOBS:-2}" -I N sh -ec '
    [ -e "$work/N/done" ] && exit
    python scenes.py --out "$work/N" --seed N --photos "$work/backgrounds.npy" --sheet "$work/N.png"
    python photographs.py --out "$work/backgrounds.npy" --flowers "$data/photos" --into "$work/N"
    touch "$work/N/done"'
python train.py --out "$work/net" --steps "$steps" $(seq -f "--scenes $work/%g" "$parts") "$@"
[ -e "$work/held_out/sample2/boxes.json" ] || python held_out.py --flowers "$data/photos" --out "$work/held_out"

python export.py --net "$work/net/net.pt" --out "$work/drawnface.onnx"
python evaluate.py --model "$work/drawnface.onnx" --scenes "$work"/held_out/*
