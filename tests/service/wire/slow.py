"""A server program whose streams do not end before somebody ends the server."""

from tests.service.wire.asking import MOST_NEW_TOKENS

LONG = ("--max-new-tokens-limit", str(MOST_NEW_TOKENS))

# A server whose model becomes so slow after 60 steps that no stream is over before the server is.
SLOW = """
import sys, time
from bundle.runner import Runner
from service.__main__ import main
step, steps = Runner.step, []
def slower(*arguments):
    steps.append(None)
    time.sleep(0.3 * (len(steps) > 60))
    return step(*arguments)
Runner.step = slower
sys.exit(main())
"""
