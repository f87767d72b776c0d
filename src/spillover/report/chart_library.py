"""The script that draws charts in a browser: Vega, Vega-Lite and Vega-Embed in one."""

from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version

import vl_convert
from platformdirs import user_cache_path

from spillover.utils.marker import keep_text

VEGA_LITE = "6.4"
"""Version of Vega-Lite: the one that altair writes."""

EXPORTED = "window.vegaEmbed = vegaEmbed;"
"""What the script gives to the page's own scripts."""


@cache
def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script. The expression interpreter in it needs no `eval`.

    Making it takes two seconds, so the user's cache keeps it.
    """
    facts = f"{EXPORTED} {VEGA_LITE} {version('vl-convert-python')}"
    path = user_cache_path("spillover") / "scripts" / f"{sha256(facts.encode()).hexdigest()[:32]}.js"
    with suppress(OSError, UnicodeDecodeError):  # not there yet
        return path.read_bytes().decode()  # as text, its line ends might change
    script = str(vl_convert.javascript_bundle(EXPORTED, vl_version=VEGA_LITE)).strip()
    keep_text(path, script)
    return script
