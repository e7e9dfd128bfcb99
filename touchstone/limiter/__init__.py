"""Which limiter decides behind an API, told from when it accepts, refuses and delays; pure, without a clock or I/O."""
