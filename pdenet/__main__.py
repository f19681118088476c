"""`python -m pdenet` is the command `pdenet`."""

import sys

from pdenet.cli import main

if __name__ == "__main__":
    sys.exit(main())
