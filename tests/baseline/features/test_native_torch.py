"""What PyTorch's library says of this machine is what PyTorch says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from baseline.features import native_torch
from baseline.features.compute import choose_compute
from baseline.features.native_torch import compute_found


def test_the_library_says_what_the_package_says() -> None:
    chosen = choose_compute()
    assert compute_found() == (chosen.device.type, chosen.name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the package is imported")
def test_it_is_asked_without_the_package() -> None:
    code = (
        "import sys; from baseline.features.native_torch import compute_found; compute_found(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_where_the_library_cannot_tell_the_package_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_torch, "CPU_FLAGS", tmp_path / "nothing")
    chosen = choose_compute()
    assert compute_found() == (chosen.device.type, chosen.name)


def test_fast_bfloat16_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if choose_compute().device.type == "cuda":
        pytest.skip("the GPU is what is computed on here")
    for flags, precision in (("fpu avx512_bf16 sse", "bf16"), ("fpu avx2", "fp32")):
        (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
        monkeypatch.setattr(native_torch, "CPU_FLAGS", tmp_path / "cpuinfo")
        assert compute_found() == ("cpu", precision)
