"""One program per piece of work: each has a NAME and a ``run(plan)``."""
