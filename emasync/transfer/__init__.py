"""Many files over one busy link: plans, uplinks, downlinks and syncs, with a journal and verified results.

Knows nothing of terminals: it emits events, and the command line shows them. Must not import the client.
"""
