"""`python -m touchstone.limiter.probe`: child process that sends the requests of a probe."""

from touchstone.limiter.probe.loop import main

raise SystemExit(main())
