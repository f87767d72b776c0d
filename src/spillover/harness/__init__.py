"""Our scorer as a backend of lm-evaluation-harness: `import spillover.harness`, then `model="spillover"`.

Its command line is `python -m spillover.harness`, with every option of `lm_eval`; the harness's own command line loads
no plug-ins. This package imports neither torch nor transformers: the harness loads the backend when it needs it.
"""

import lm_eval.models  # noqa: F401 - the harness registers its own models only while none is registered
from lm_eval.api.registry import model_registry

model_registry.register("spillover", target="spillover.harness.backend:SpilloverLM")
