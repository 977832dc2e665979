"""A network of timm's hub as a backbone: fetched from a local server that stands for the hub."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import torch

from baseline.features.backbones import bare_backbone, load_backbone
from baseline.features.timm_backbone import TimmBackbone
from baseline.settings import load_preset
from gleanset.errors import InputUnusable, MissingComponent

NETWORK = "mobilenetv3_small_050"
CONFIG = {
    "architecture": NETWORK,
    "num_classes": 7,
    "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 64, 64]},
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The files of the one repository there is; without files the hub is out of reach."""
    from huggingface_hub import constants

    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.partition("?")[0].rpartition("/")[2])
            self.send_response(200 if data is not None else 404)
            self.send_header("Content-Length", str(len(data or b"")))
            self.send_header("ETag", f'"{len(data or b"")}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield files
        server.shutdown()
        thread.join()


def test_a_network_of_the_hub_is_built_anew_without_it(
    hub: dict[str, bytes], tmp_path: Path
) -> None:
    import timm

    there = timm.create_model(NETWORK, num_classes=7)
    hub["config.json"] = json.dumps(CONFIG).encode()
    hub["model.safetensors"] = safetensors.torch.save(there.state_dict())
    settings = load_preset("transfer", {"backbone": "hf_hub:someone/tagger", "weights": "hub"})
    backbone, told = load_backbone(settings.backbone, settings.weights)  # type: ignore[union-attr]
    assert isinstance(backbone, TimmBackbone)
    assert told.source == "hub someone/tagger"
    assert torch.equal(backbone.body.conv_stem.weight, there.conv_stem.weight)  # type: ignore[union-attr]
    assert backbone.std.flatten().tolist() == [0.25] * 3
    # A run keeps what the hub told, and is built again where there is no hub.
    hub.clear()
    for name, data in backbone.kept_files.items():
        (tmp_path / name).write_bytes(data)
    again = bare_backbone(backbone.name, tmp_path)
    again.load_state_dict(backbone.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(again.eval()(x), backbone(x))
    for name in backbone.kept_files:
        (tmp_path / name).write_bytes(b"{")
    with pytest.raises(InputUnusable, match="is damaged"):
        bare_backbone(backbone.name, tmp_path)


def test_a_hub_out_of_reach_is_told_with_the_mend(hub: dict[str, bytes]) -> None:
    settings = load_preset("transfer", {"backbone": "timm/gone.a1", "weights": "hub"})
    assert settings.backbone == "hf-hub:timm/gone.a1"  # type: ignore[union-attr]
    with pytest.raises(MissingComponent, match="could not be fetched from the hub") as caught:
        load_backbone("hf-hub:timm/gone.a1", "hub")
    assert "weights=packaged" in caught.value.mend
