"""The EM API on the wire, without any I/O: what to send, what an answer means, how bytes are decoded.

May import model, config and errors. Knows nothing of sockets, files, retries or tokens in use.
"""
