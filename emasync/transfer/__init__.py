"""Many files over one busy link: plan, limiter, worker pool, journal, verification.

Owns: everything that is about more than one file. May import endpoints and below.
Knows nothing of terminals: it tells events, the command line shows them.
"""
