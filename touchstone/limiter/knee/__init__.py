"""At which rate of reads their latency leaves what is wanted of it; pure, without a clock or I/O."""
