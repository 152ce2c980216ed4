"""`python -m mock_server`."""

import sys

from mock_server.main import main

sys.exit(main())
