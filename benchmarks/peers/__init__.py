"""The sides that emasync is measured against, one a file: small, honest, idiomatic."""
