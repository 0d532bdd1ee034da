"""``python -m tmsprep``."""

import sys

from tmsprep.cli.run import main

if __name__ == '__main__':
    sys.exit(main())
