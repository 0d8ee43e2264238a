"""The only caller of aiohttp on the client's side: one request out, one answer in.

Owns: the session, request line and headers, time-outs by phase, the early answer to a body, and the border where every
exception of aiohttp becomes one of ours. May import wire, config, model and errors.
Knows nothing of tokens' lives, retries, the lock or files.
"""

from emasync.http.endpoint import check_base_url
from emasync.http.response import Response
from emasync.http.transport import Transport
from emasync.http.upload import Body

__all__ = ["Body", "Response", "Transport", "check_base_url"]
