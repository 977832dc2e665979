"""A dataset of drawn patterns with a small trained run, shared by the tests of prediction."""

from pathlib import Path

import pytest
from filled import RUN, make_patterns
from shared_folder import make_shared_folder

from baseline.use.export.export_run import export_run


@pytest.fixture(scope="session")
def patterns_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the dataset's folder with the run `RUN`; read-only."""
    return make_shared_folder(tmp_path_factory, "patterns", make_patterns) / "dataset"


@pytest.fixture(scope="session")
def run_folder(patterns_root: Path) -> Path:
    return patterns_root / "runs" / RUN


@pytest.fixture(scope="session")
def pictures(patterns_root: Path) -> list[Path]:
    """Return the original files of the dataset."""
    return sorted((patterns_root / "images").glob("*/*.png"))


@pytest.fixture(scope="session")
def exported(patterns_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the run to ONNX and return the file; read-only."""

    def export(folder: Path) -> None:
        result = export_run(patterns_root, None, folder / "model.onnx", "fp32")
        assert result.images == 90  # all splits
        assert isinstance(result.farthest, float)
        assert result.farthest < 1e-5
        assert result.agreement == 1

    return (
        make_shared_folder(tmp_path_factory, "exported-patterns", export) / "model.onnx"
    )
