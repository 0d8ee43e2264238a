"""Single requests by subject: `Files`, `Images`, `Pods`. Transfers of many files are in `emasync.transfer`."""

from emasync.api.files import Files
from emasync.api.images import Images
from emasync.api.pods import Pods

__all__ = ["Files", "Images", "Pods"]
