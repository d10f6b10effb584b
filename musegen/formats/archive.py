"""Read small zip files (.mxl, .npz) within limits: nothing is unpacked before its size is known."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable

from musegen.errors import InputError

MAX_BYTES = 32 * 2**20
MAX_MEMBERS = 4096


def members(data: bytes, name: str, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The wanted members of a zip file, unpacked, by name.

    Raises:
        InputError: not a zip, encrypted, garbled, or over 32 MB when unpacked.
    """
    # Counted before zipfile builds an object for each of them.
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise InputError(name, f"a zip of more than {MAX_MEMBERS} files; export it again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            found = [m for m in file.infolist() if wanted(m.filename)]
            if sum(m.file_size for m in found) > MAX_BYTES:
                raise InputError(name, f"over {MAX_BYTES >> 20} MB when unpacked; split the piece")
            # zlib alone unpacks no more than it is asked for.
            if {m.compress_type for m in found} - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise InputError(name, "a zip packed in an unusual way; export it again")
            return {m.filename: file.open(m).read(m.file_size) for m in found}
    except InputError:
        raise
    except Exception:  # zipfile raises many kinds on garbled files
        raise InputError(name, "a broken or encrypted zip file; export it again") from None
