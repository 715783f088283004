"""`python -m unseen` is the command `unseen`."""

import sys

from unseen.cli import main

sys.exit(main())
