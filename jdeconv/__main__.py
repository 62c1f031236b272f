"""`python -m jdeconv VERB ...` is `jdeconv VERB ...`."""

import sys

from jdeconv.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
