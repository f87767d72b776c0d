"""Provenance: versions of packages, and the machine."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from spillover.records import Provenance

PACKAGES = ("spillover", "torch", "transformers", "peft", "accelerate", "numpy", "scipy", "altair")


def provenance(experiment: str, **facts: object) -> Provenance:
    """Return the facts needed to repeat a run: the experiment file, versions, machine, and other `facts`."""
    others = ((name, str(value)) for name, value in facts.items())
    return Provenance((*versions(), *machine(), *others), experiment)


def versions() -> list[tuple[str, str]]:
    """Return (name, version) of Python and of every package whose version can change a number."""
    rows = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            rows.append((package, version(package)))
        except PackageNotFoundError:
            rows.append((package, "not installed"))
    return rows


def machine() -> list[tuple[str, str]]:
    """Return (name, value) of the hardware."""
    return [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", _processor()),
        ("cores", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())),
    ]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")
