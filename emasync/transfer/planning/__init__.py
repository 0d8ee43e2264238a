"""What a transfer will do, decided before it begins: scanning, filters, plans and comparisons. Only `scan` does I/O."""
