"""Many files over one busy link: plan, lane, pool, journal, truth.

Owns: everything that is about more than one file. May import endpoints and below.
Knows nothing of terminals: it tells events, the command line shows them.
"""
