"""The harness's own command line. It finds our backend because Python imports the package before this module."""

import sys

from lm_eval.__main__ import cli_evaluate

from spillover.errors import SpilloverError, one_line

if __name__ == "__main__":
    try:
        cli_evaluate()
    except SpilloverError as error:
        sys.stderr.write(f"spillover: {one_line(str(error))}\n")
        sys.exit(2)
