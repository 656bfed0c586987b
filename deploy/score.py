"""`python -m deploy.score`: start the batch scoring of `deploy.batch.score`."""

import sys

from deploy.batch.score import main

if __name__ == "__main__":
    sys.exit(main())
