"""`backbone=hub:…`: an embedding of the hub on this machine, held to by dataset and run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from embedding_models import embedding_model
from filled import fill
from publisher import Hub
from tools_for_tests import run_here

import baseline
from baseline.data.runs import METRICS, run_folder
from baseline.settings import load_preset
from baseline.train.train_run import train_preset
from gleanset import Dataset

CCIP = "deepghs/ccip_onnx"
SMALL = {"size": "24", "views": "0", "backbone": f"hub:{CCIP}/ccip"}
MEAN = [0.48145466, 0.4578275, 0.40821073]


def test_a_run_holds_to_the_embedding_of_the_first_use(
    hub: Hub, tmp_path: Path, dataset: Dataset
) -> None:
    hub.repository = CCIP
    fill(dataset, 6)
    model = embedding_model(tmp_path / "model_feat.onnx", side=None).read_bytes()
    commit = hub.commit(ccip_model_feat=model)
    load_preset("transfer", SMALL)
    assert not hub.asked
    done = train_preset(dataset, "transfer", SMALL)
    folder = run_folder(dataset, str(done["run"]))
    kept = json.loads((folder / METRICS).read_text())["training"]["embeddings"][0]
    assert kept["model"] == f"hub:{CCIP}/ccip/model_feat.onnx@{commit}"
    assert kept["sha256"] == hashlib.sha256(model).hexdigest()
    assert (kept["name"], kept["side"], kept["mean"]) == ("ccip", [384, 384], MEAN)
    hub.commit(ccip_model_feat=b"moved")
    hub.asked.clear()
    assert train_preset(dataset, "transfer", SMALL)["run"] == done["run"]
    assert not hub.asked
    hub.commits.clear()
    pictures = sorted((dataset.root / "images").glob("*/*.png"))[:2]
    assert baseline.load(folder).embed(pictures).shape[0] == 2
    assert "openrail" in run_here("baseline.cli", "backbones").stdout
