"""What a scoring engine asks of an experiment and of the machine, refused in one sentence."""

from collections.abc import Iterable, Mapping

from spillover.errors import SpilloverError


def require_settings(engine: str, settings: Iterable[tuple[str, object, object]]) -> None:
    """Refuse a setting that an engine does not support.

    Args:
        engine: its name in the experiment.
        settings: per key its name, its value, and the value that the engine supports.

    Raises:
        SpilloverError: a value is another one.
    """
    for key, value, supported in settings:
        if value != supported:
            shown = "a table" if isinstance(value, Mapping) else repr(value)
            raise SpilloverError(f"{key}: found {shown}, expected {supported!r} with evaluate.engine = {engine!r}")


def require_present(engine: str, needs: Mapping[str, bool]) -> None:
    """Refuse an engine on a machine that lacks something.

    Args:
        engine: its name in the experiment.
        needs: what it needs, in words → whether it is there.

    Raises:
        SpilloverError: something is lacking.
    """
    if lacking := [name for name, present in needs.items() if not present]:
        raise SpilloverError(
            f"evaluate.engine: {engine!r} needs {' and '.join(lacking)}, which this machine lacks; 'transformers' "
            "gives the same scores"
        )
