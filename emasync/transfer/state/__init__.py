"""What a transfer keeps on disk between runs: the journal and the cache of file hashes, in SQLite."""
