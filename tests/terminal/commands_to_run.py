"""Every command of every program, as a person types it in the states of states.py."""

from states import NAME, SMALL_TRAINING

HERE = f"-d {NAME}"
SMALL = " ".join(SMALL_TRAINING)

COMMANDS = [
    f"gleanset init {NAME}",
    f"gleanset status {HERE}",
    f"gleanset report {HERE}",
    f"gleanset list images {HERE} --where sha256=nothing",
    f"gleanset snapshot checked {HERE}",
    f"gleanset snapshot checked {HERE} && gleanset snapshot {HERE}",
    f"gleanset restore checked {HERE}",
    f"gleanset snapshot checked {HERE} && gleanset restore checked {HERE}",
    f"gleanset gc {HERE}",
    f"gleanset verify {HERE}",
    f"gleanset timeline {HERE}",
    f"gleanset merge {NAME} {HERE}",
    f"gleanset forget --author Hokusai --yes {HERE}",
    f"gleanset forget --image IMAGE --yes {HERE}",
    "gleanset recipes",
    f"gleanset run missing-recipe {HERE}",
    f"gleanset episodes missing.mp4 {HERE}",
    f"harvest folder new --hints-from-folders {HERE}",
    f"harvest folder missing {HERE}",
    f"harvest folder sorted --simulate {HERE}",
    f"harvest urls missing.txt {HERE}",
    f"harvest frames missing.mp4 {HERE}",
    f"harvest keyword {HERE}",
    f"harvest retry {HERE}",
    f"facecrop run {HERE}",
    f"facecrop run --detector whole {HERE}",
    "facecrop detectors",
    f"labeler accept hints {HERE}",
    f"labeler accept predictions {HERE}",
    f"labeler audit {HERE}",
    f"labeler classes list {HERE}",
    f"labeler classes add square {HERE}",
    f"labeler classes add disk --alias disc {HERE}",
    f"labeler classes rename disc disk {HERE}",
    f"labeler classes merge disc cross {HERE}",
    f"labeler classes delete disc {HERE}",
    f"labeler dedup {HERE}",
    f"labeler dedup --simulate {HERE}",
    f"labeler export {HERE}",
    f"labeler export --format coco {HERE}",
    f"labeler export --simulate {HERE}",
    f"labeler gallery faces.html {HERE}",
    f"labeler gallery faces.html --clusters {HERE}",
    f"labeler gallery faces.html --tracks {HERE}",
    f"labeler groups {HERE}",
    f"labeler groups --same SAMPLE SAMPLE2 {HERE}",
    f"labeler hints drop disc {HERE}",
    f"labeler import new {HERE}",
    f"labeler import new {HERE} && labeler import new {HERE}",
    f"labeler import new {HERE} && labeler undo {HERE}",
    f"labeler import missing {HERE}",
    f"labeler import new --simulate {HERE}",
    f"labeler label disc SAMPLE {HERE}",
    f"labeler label dics SAMPLE {HERE}",
    f"labeler label --reject SAMPLE {HERE}",
    f"labeler quality {HERE}",
    f"labeler split {HERE}",
    f"labeler split --simulate --ratio 2:1:1 {HERE}",
    f"labeler split --test-per-class 20 {HERE}",
    f"labeler undo {HERE}",
    "baseline backbones",
    f"baseline compare {HERE}",
    f"baseline evaluate {HERE}",
    f"baseline evaluate --max-rejection-rate 5% {HERE}",
    f"baseline export model.onnx {HERE}",
    f"baseline gallery {HERE}",
    f"baseline label-issues {HERE}",
    f"baseline predict new {HERE}",
    f"baseline predict missing {HERE}",
    f"baseline prelabel {HERE}",
    f"baseline prelabel {HERE} && labeler accept predictions {HERE}",
    f"baseline train {SMALL} {HERE}",
    f"baseline train {SMALL} --folds 2 {HERE}",
    f"baseline train --simulate {HERE}",
    f"webapp export page {HERE}",
    f"webapp serve missing.onnx {HERE}",
    f"labeler open {HERE}",
    f"webapp reports list {HERE}",
    f"webapp reports accept all {HERE}",
    f"webapp reports refuse 3 {HERE}",
]


SLOW = (
    "labeler dedup",
    "labeler split",
    "labeler gallery faces.html -d",
    "labeler quality",
    "labeler audit",
    "labeler import new -d",
    "labeler export -d",
    "labeler export --format",
    "baseline prelabel",
    "baseline label-issues",
    "baseline train -o",
    "webapp export",
    "harvest folder new",
)
"""Beginnings of commands that load PyTorch or start processes."""

WITH_WORK = ("half_labelled", "labelled", "split", "trained")
"""States in which slow commands have something to do."""

# States whose other commands print what an earlier state has shown.
ONLY_IN = {
    "collected": (
        "gleanset status",
        "facecrop",
        "labeler accept",
        "labeler hints",
        "labeler export",
    ),
    "unlabelled": (
        "gleanset status",
        "labeler accept",
        "labeler label",
        "labeler export",
        "baseline prelabel",
    ),
    "labelled": (
        "gleanset status",
        "labeler accept",
        "labeler audit",
        "labeler export",
        "labeler dedup",
        "labeler split",
        "labeler undo",
        "baseline train",
    ),
    "split": (
        "gleanset status",
        "labeler dedup",
        "labeler split",
        "labeler undo",
        "baseline train",
        "baseline predict",
    ),
}


def list_commands(state: str, *, slow: bool) -> list[str]:
    """Return the commands to run in a state: those that take long, or the others."""
    beginnings = ONLY_IN.get(state)
    return [
        line
        for line in COMMANDS
        if (beginnings is None or line.startswith(beginnings))
        and (line.startswith(SLOW) and state in WITH_WORK) == slow
        and ("SAMPLE" not in line or state not in ("nothing", "empty", "collected"))
        and ("IMAGE" not in line or state not in ("nothing", "empty"))
    ]
