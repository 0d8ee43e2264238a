"""The EM API's protocol without I/O: requests as values, parsing of responses, encoding and decoding of bodies.

Knows nothing of sockets, files or retries. Must not import http or disk.
"""
