"""From a path to plain UTF-8 bytes: compression, encodings, and what is no text at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from src.data.reading.errors import DataError, quote

BLOCK = 1 << 20
# What the bytes at the start of a file say it is, where that is nothing to read.
_FOREIGN = {
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook, which a spreadsheet saves as CSV",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed bytes",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x89HDF": "an HDF5 file",
    b"SQLite": "an SQLite database",
}
_MARKUP = {
    "<!doctype": "a web page, not the file itself",
    "<html": "a web page, not the file itself",
    "<?xml": "XML",
    "<table": "a web page, not the file itself",
    "{": "JSON",
    "[{": "JSON",
}


@dataclass(frozen=True)
class TextFile:
    """A text file as UTF-8, wherever and however it is stored.

    Args:
        path: Where it lies; names it in messages.
        data: Its bytes as UTF-8 without a mark; None if those of the file on disk are just that.
        mark: Bytes at the start of the file on disk to leave out.
        encoding: What it was written in.
    """

    path: Path
    data: bytes | None
    mark: int = 0
    encoding: str = "UTF-8"

    def open(self) -> BinaryIO:
        """Return a stream of its bytes, UTF-8."""
        if self.data is not None:
            return io.BytesIO(self.data)
        file = self.path.open("rb")
        file.seek(self.mark)
        return file

    def lines(self) -> Iterator[str]:
        """Yield its lines, any line end turned into a newline."""
        with io.TextIOWrapper(self.open(), encoding="utf-8", newline="") as text:
            yield from text


def open_text(path: Path) -> TextFile:
    """Find out how a file is stored, and check that all of it is text.

    Args:
        path: The file: UTF-8, UTF-16 or Windows text, or such text compressed by gzip, bzip2, xz
            or as the one member of a zip archive.

    Returns:
        The file, its text still to be read.

    Raises:
        DataError: If it is missing, no text, or an archive of several files.
    """
    start = _start(path)
    for signature, name in _FOREIGN.items():
        if start.startswith(signature):
            raise DataError(path, 1, 1, name, "a CSV file")
    try:
        if not start.startswith((*_UNPACK, b"\xff\xfe", b"\xfe\xff")):
            return _as_it_lies(path, start)
        with open_unpacked(path) as stream:
            return _decoded(path, stream.read())
    except OSError as error:
        found = str(error.strerror or error)
        raise DataError(path, 1, 1, found, "a readable CSV file") from error
    except (EOFError, zipfile.BadZipFile, lzma.LZMAError, RuntimeError) as error:
        found = f"a damaged or locked archive ({error})"
        raise DataError(path, 1, 1, found, "a CSV file") from error


def is_parquet(path: Path) -> bool:
    """Tell by its first bytes whether a file is in the parquet format."""
    return path.is_file() and _start(path).startswith(b"PAR1")


def parquet_as_text(path: Path) -> TextFile:
    """Return a parquet file as the text that pandas writes of it, read like any other.

    Raises:
        DataError: If pyarrow is not there, or cannot read it.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path)
    except ImportError:
        expected = "pyarrow to read it: pip install '.[parquet]'"
        raise DataError(path, 1, 1, "a parquet file", expected) from None
    except (OSError, ValueError) as error:
        raise DataError(path, 1, 1, f"a damaged parquet file ({error})", "parquet") from None
    has_index = frame.index.name is not None or not isinstance(frame.index, pd.RangeIndex)
    return TextFile(path, frame.to_csv(index=has_index).encode())


def _start(path: Path) -> bytes:
    expected = "a CSV file"
    if path.is_dir():
        raise DataError(path, 1, 1, "a folder", expected)
    if not path.exists():
        raise DataError(path, 1, 1, "no such file", expected)
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise DataError(path, 1, 1, f"{error.strerror}", "a readable CSV file") from error


def open_unpacked(path: Path) -> IO[bytes]:
    """Return a stream of a file's bytes, unpacked as they are read where it is compressed.

    Raises:
        DataError: If it is an archive of several files, or a spreadsheet.
    """
    with path.open("rb") as file:
        start = file.read(8)
    for signature, opener in _UNPACK.items():
        if start.startswith(signature):
            return opener(path)
    return path.open("rb")


def _open_zip(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    return archive.open(zip_member(archive, path))


_UNPACK: dict[bytes, Callable[[Path], Any]] = {
    b"PK\x03\x04": _open_zip,
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}


def zip_member(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the name of the one file in an archive.

    Raises:
        DataError: If there is none or several, or the archive is a spreadsheet.
    """
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    names = [name for name in names if not name.startswith("__MACOSX")]
    if "[Content_Types].xml" in names:
        found = "an Excel workbook, which a spreadsheet saves as CSV"
        raise DataError(path, 1, 1, found, "a CSV file")
    if len(names) != 1:
        found = f"{len(names)} files in the archive: {', '.join(map(quote, names[:5]))}"
        raise DataError(path, 1, 1, found, "one; unpack it and name the file or its folder")
    return names[0]


def _as_it_lies(path: Path, start: bytes) -> TextFile:
    """Check block by block that a file is UTF-8 with ordinary line ends; else read and convert."""
    mark = 3 if start.startswith(b"\xef\xbb\xbf") else 0
    _refuse_markup(path, start.decode("ascii", errors="replace"))
    newlines = returns = False
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            if not block.isascii() or b"\0" in block:
                return _decoded(path, path.read_bytes())
            newlines = newlines or b"\n" in block
            returns = returns or b"\r" in block
    if returns and not newlines:
        return _decoded(path, path.read_bytes())
    return TextFile(path, None, mark)


def _refuse_markup(path: Path, start: str) -> None:
    for opening, name in _MARKUP.items():
        if start.lstrip("\ufeff \t\r\n").lower().startswith(opening):
            raise DataError(path, 1, 1, name, "a CSV file")


def _decoded(path: Path, data: bytes) -> TextFile:
    encoding, text = "UTF-8", ""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding, text = "UTF-16", data.decode("utf-16", errors="replace")
    elif data[1:2] == data[3:4] == b"\0":
        encoding, text = "UTF-16", data.decode("utf-16-le", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # Spreadsheets write what Windows is set to; in a price file it matters for names only.
            encoding, text = "Windows-1252", data.decode("cp1252", errors="replace")
            if "\ufffd" in text:
                found = f"byte 0x{data[error.start]:02x}, which is not UTF-8"
                row = data[: error.start].count(b"\n") + 1
                raise DataError(path, row, 1, found, "UTF-8 text") from error
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise DataError(path, row, 1, "a NUL byte", "plain text")
    _refuse_markup(path, text[:100])
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    return TextFile(path, text.encode(), encoding=encoding)
