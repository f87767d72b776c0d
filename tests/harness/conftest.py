"""A folder of the harness's tasks on local data; nothing is downloaded."""

from pathlib import Path

import pytest

from local_tasks import CONFIGS, write_task


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the harness's `--include_path`."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, (rows, config) in CONFIGS.items():
        write_task(folder, name, rows, config)
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_shared_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Data sets are prepared in a folder of the session, and nothing is asked of the hub."""
    import datasets

    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("datasets")
    datasets.disable_progress_bars()
