"""`python -m digits` was the command before `digits`. It names the new one."""

import sys

sys.exit("digits: `python -m digits FILE...` is now `digits predict FILE...`, and with `read`: `digits read FILE...`")
