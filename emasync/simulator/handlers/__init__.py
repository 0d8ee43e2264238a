"""The simulator's endpoints: one module for each group of API calls."""
