"""`python -m model_server`."""

import os
import sys

if sys.path[0] == os.getcwd() != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    # `python -m` puts the working directory first: its files would be imported in place of the standard library's.
    del sys.path[0]

from model_server.main import main

sys.exit(main())
