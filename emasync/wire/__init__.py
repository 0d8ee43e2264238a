"""The EM API's protocol without I/O: requests as values, parsing of responses, encoding and decoding of bodies.

May import model, config and errors. Knows nothing of sockets, files or retries.
"""
