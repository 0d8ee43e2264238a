"""Single requests by subject: `Files`, `Images`, `Pods`. Transfers of many files are in `emasync.transfer`."""

from emasync.api.files import Files
from emasync.api.pods import Images, Pods

__all__ = ["Files", "Images", "Pods"]
