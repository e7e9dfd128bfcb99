"""`python -m touchstone.limiter.probe`: the process that sends what a probe asks for."""

from touchstone.limiter.probe.loop import main

raise SystemExit(main())
