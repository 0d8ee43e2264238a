"""The commands: one module for each noun, imported by `LazyGroup` when one of its commands is used."""
