"""Ctrl-C and SIGTERM: the process writes one sentence and ends within a second, whatever it is doing.

The signal raises `Interrupted` in the main thread, so that scratch files are removed and locks released. A library may
compute for seconds outside Python, swallow the exception or wait for its threads. So a second thread ends the process
after `GRACE`. Nothing is lost: a result is written completely or not at all, and a lock ends with its process.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from spillover.utils.distributed import is_main_process

GRACE = 0.5
"""Seconds between the signal and the end of a process that has not ended by itself."""

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
"""Signal → its name in the sentence."""

STATUSES = frozenset(128 + number for number in SIGNALS)
"""Exit statuses after a signal, as shells have them: 130 and 143."""

NOTHING = "nothing half-made is left in place of a result; run the same command again"
"""The end of the sentence for a command without a run folder."""

_kept = NOTHING


class Interrupted(BaseException):
    """A signal asked the process to end. It is no `Exception`, so that no library takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        """Keep the number of the signal."""
        self.number = number
        super().__init__(number)


def keep_in(folder: Path) -> None:
    """Let the sentence say that results are kept in a folder."""
    global _kept
    _kept = (
        f"all that is finished is kept in {folder}, checkpoints of tuning and translations too; the same command goes "
        "on from there"
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """End the block, and the process, within a second after Ctrl-C or SIGTERM, with exit status 130 or 143."""
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main thread
        yield
        return
    global _kept
    _kept = NOTHING  # the command says more, if it keeps more
    sender, watched = socket.socketpair()
    sender.setblocking(False)
    said, ended = threading.Lock(), threading.Event()
    before = {number: signal.signal(number, _raise) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(watched, said, ended), daemon=True)
    thread.start()
    try:
        yield
    except Interrupted as interrupted:
        _say(interrupted.number, said)
        sys.exit(128 + interrupted.number)
    finally:
        ended.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        sender.close()
        thread.join()
        watched.close()


def _raise(number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:  # a second Ctrl-C must not disturb the end
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)


def _watch(signals: socket.socket, said: threading.Lock, ended: threading.Event) -> None:
    """End the process if it has not ended by itself `GRACE` seconds after a signal."""
    while numbers := signals.recv(1):
        number = numbers[0]
        if number in SIGNALS and not ended.wait(GRACE):
            if os.isatty(2):
                os.write(2, b"\x1b[?25h\n")  # a bar hides the cursor
            _say(number, said)
            os._exit(128 + number)


def _say(number: int, said: threading.Lock) -> None:
    """Write the sentence once, without buffers, because the main thread may hold them."""
    from spillover.utils.progress import as_line

    if is_main_process() and said.acquire(blocking=False):
        text = f"spillover: interrupted by {SIGNALS[signal.Signals(number)]}; {_kept}"
        os.write(2, f"{as_line(text, 'interrupted', status=128 + number)}\n".encode())
