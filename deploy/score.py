"""`python -m deploy.score` was the command before `digits predict --output`. It names the new one."""

import sys

sys.exit("digits: `python -m deploy.score` is now `digits predict SOURCE... --output FILE --ray [ADDRESS]`")
