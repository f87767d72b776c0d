"""How fast this machine computes a model of these sizes: measured once in a few seconds, then remembered.

The measurement is a process of its own, so a forecast loads no torch. It is kept in the user's cache, under
everything that it depends on: the machine, the version of torch, the sizes, the precision and the threads.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256

from platformdirs import user_cache_path

from spillover.experiment import ModelConfig
from spillover.models import identity
from spillover.models.shape import ModelShape
from spillover.utils import environment
from spillover.utils.marker import keep_text
from spillover.utils.precision import meaning_of_auto
from spillover.utils.progress import notify
from spillover.utils.threads import cores, is_busy

PATIENCE = 120
"""Seconds after which a measurement is given up. It takes less than ten on a machine that does nothing else."""


PARALLEL = 0.8
"""Speed of many threads over that of one, per thread, where only one can be measured."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one unit of each kind of work takes in all blocks of a model, in seconds."""

    read: float
    """A token that is read, in a batch."""
    learn: float
    """A token that is read and whose loss is followed back through all blocks, whose own weights stay as they are."""
    write: float
    """A token that is written, in eight texts at once, with its choice from the vocabulary."""
    unembed: float
    """A position whose next token is predicted: the product with the whole vocabulary."""

    def faster(self, times: float) -> "Speed":
        """Return the speed of a machine that is so many times as fast."""
        return Speed(self.read / times, self.learn / times, self.write / times, self.unembed / times)


def machine_speed(model: ModelConfig, shape: ModelShape) -> Speed | None:
    """Return how fast this machine computes a model of these sizes, measured first if it is not known yet.

    Where other processes compute too, one thread is measured, since several would wait for each other. This holds only
    until the machine is less busy. None if the speed cannot be measured, which the user is told.
    """
    threads = model.threads or len(cores())
    busy = is_busy(threads)
    dtype = meaning_of_auto() if model.dtype == "auto" else model.dtype
    request = {"shape": asdict(shape), "dtype": dtype or "auto", "threads": threads}
    facts = [request, identity.libraries(), identity.machine(), environment.machine(), platform.node()]
    name = sha256(json.dumps(facts).encode()).hexdigest()[:32]
    places = [user_cache_path("spillover") / "speeds" / f"{name}{end}.json" for end in ("", "-busy")[: 1 + busy]]
    for path in places:
        with suppress(OSError, ValueError, TypeError):  # not there yet, or cut off
            return Speed(**json.loads(path.read_text(encoding="utf-8")))
    note = "about ten seconds, and again when other processes compute less" if busy else "about ten seconds, once"
    notify(f"Measuring how fast this machine computes {model.name} ({note})")
    measured = _measured(request | ({"threads": 1} if busy else {}))
    if measured is None:
        return None
    speed = measured.faster(PARALLEL * threads) if busy and threads > 1 else measured
    keep_text(places[-1], json.dumps(asdict(speed)))
    return speed


def _measured(request: Mapping[str, object]) -> Speed | None:
    command = [sys.executable, "-P", "-m", "spillover.models.calibrate"]
    try:
        ended = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, timeout=PATIENCE)
        if ended.returncode == 0:
            return Speed(**json.loads(ended.stdout))
        reason = (ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"])[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    notify(f"The speed of this machine cannot be measured: {reason}")
    return None
