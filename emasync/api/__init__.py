"""One class for each group of the EM API's calls: `files`, `images`, `pods`.

Owns: what a single call means to the caller. May import watch, caller and below. Knows nothing of many files.
"""

from emasync.api.files import Files
from emasync.api.images import Images
from emasync.api.pods import Pods

__all__ = ["Files", "Images", "Pods"]
