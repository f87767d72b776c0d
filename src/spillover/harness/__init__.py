"""Our scorer as a backend of lm-evaluation-harness: `import spillover.harness`, then `model="spillover"`.

Its command line is `python -m spillover.harness`, with every option of `lm_eval`, whose own looks for no plug-ins.
Imports neither torch nor transformers: the backend is loaded when the harness asks for it.
"""

import lm_eval.models  # noqa: F401 - the harness's own models, which it registers only where it finds none
from lm_eval.api.registry import model_registry

model_registry.register("spillover", target="spillover.harness.backend:SpilloverLM")
