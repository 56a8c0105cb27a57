"""The chunks of WAV and AIFF files: where the samples lie, their declared and their actual length, and metadata on time.

A recorder whose battery dies leaves a header with a length of 0; one that writes past 4 GiB leaves a length that wrapped
around. libsndfile believes both and silently reads too little. Reading the chunks again makes it possible to read such files
to their end, and to recognise files that were cut short.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from whalescan.core import PcmLayout

_WAV_SUBTYPES = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}
_AIFC_FLOATS = {b"fl32": "FLOAT", b"fl64": "DOUBLE"}
_AIFF_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}
_EXTENSIBLE = 0xFFFE
_W64_HEAD_BYTES = 40
_ALL_ONES = 0xFFFFFFFF
_UNKNOWN_BYTES = ((0x7FFFF000, 0x7FFFFFFF), (0xFFFFF000, _ALL_ONES))
"""Lengths that programs write while the actual length is unknown."""
_MAX_FORMAT_BYTES = 2**8
_MAX_HARP_BYTES = 2**22
_MAX_LIST_BYTES = 2**12
_PADDING_BYTES = 2**20
_MIN_AUDIO_BYTES = 1024
"""Fewer bytes than this behind the declared samples count as padding, not as audio."""


@dataclass(frozen=True, slots=True)
class ContainerHeader:
    """What the chunks of a file say about its samples, and how many samples the file holds.

    Attributes:
        layout: where the samples lie, and how they are encoded.
        declared_bytes: length of the samples by the header.
        available_bytes: length of the samples in the file.
        block_bytes: length of one sample of all channels.
        harp_chunk: the ``harp`` chunk of an XWAV, which `xwav` reads; None where there is none.
        comment: the ``ICMT`` text before the samples, where AudioMoths write the time; empty where there is none.
    """

    layout: PcmLayout
    declared_bytes: int
    available_bytes: int
    block_bytes: int
    harp_chunk: bytes | None = None
    comment: str = ""

    @property
    def understates_length(self) -> bool:
        """Whether the file holds more samples than the header declares."""
        return self.available_bytes - self.declared_bytes >= _MIN_AUDIO_BYTES

    @property
    def overstates_length(self) -> bool:
        """Whether the file ends before the declared samples do; a length of all ones means that it is unknown."""
        is_unknown = any(first <= self.declared_bytes <= last for first, last in _UNKNOWN_BYTES)
        return self.declared_bytes > self.available_bytes and not is_unknown

    @property
    def available_frames(self) -> int:
        """Samples per channel in the file."""
        return self.available_bytes // self.block_bytes

    @property
    def declared_frames(self) -> int:
        """Samples per channel by the header."""
        return self.declared_bytes // self.block_bytes


def read_container_header(file: BinaryIO, size_bytes: int) -> ContainerHeader | None:
    """Read the chunks of a WAV, W64 or AIFF file, without its samples.

    Args:
        file: the open file.
        size_bytes: its length.

    Returns:
        None for any other format, and for compressed samples.
    """
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _read_wav(file, size_bytes)
    if magic[:4] == b"riff":
        return _read_w64(file, size_bytes)
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return _read_aiff(file, size_bytes)
    return None


def _read_wav(file: BinaryIO, size_bytes: int) -> ContainerHeader | None:
    subtype, block_bytes, long_length, comment = None, 0, None, ""
    harp: bytes | None = None
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        begin = file.tell()
        if kind == b"ds64":
            long_length = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        elif kind == b"fmt ":
            subtype, block_bytes = _wav_encoding(file.read(min(length, _MAX_FORMAT_BYTES)))
        elif kind == b"harp":
            harp = file.read(min(length, _MAX_HARP_BYTES))
        elif kind == b"LIST":
            comment = _comment(file.read(min(length, _MAX_LIST_BYTES))) or comment
        elif kind == b"data":
            if subtype is None or block_bytes == 0:
                return None
            layout = PcmLayout(begin, subtype, "LITTLE")
            if long_length is not None and length == _ALL_ONES:
                length = long_length
            end = _end_of_samples(file, begin + length, size_bytes, "<")
            return ContainerHeader(layout, length, end - begin, block_bytes, harp, comment)
        file.seek(begin + length + length % 2)
    return None


def _comment(body: bytes) -> str:
    """Return the ``ICMT`` text of a LIST chunk; empty where it has none."""
    position = 4
    while body[:4] == b"INFO" and position + 8 <= len(body):
        kind, length = struct.unpack_from("<4sI", body, position)
        position += 8
        if kind == b"ICMT":
            return body[position : position + length].split(b"\0")[0].decode("ascii", "replace")
        position += length + length % 2
    return ""


def _read_w64(file: BinaryIO, size_bytes: int) -> ContainerHeader | None:
    """Read Sony's 64-bit WAV: a chunk has a GUID that begins with its name, and a length with the head; 8-byte alignment."""
    subtype, block_bytes = None, 0
    file.seek(_W64_HEAD_BYTES)
    while len(head := file.read(24)) == 24:
        begin, length = file.tell(), struct.unpack("<Q", head[16:])[0] - 24
        if head[:4] == b"fmt ":
            subtype, block_bytes = _wav_encoding(file.read(min(length, _MAX_FORMAT_BYTES)))
        elif head[:4] == b"data":
            if subtype is None or block_bytes == 0:
                return None
            return ContainerHeader(PcmLayout(begin, subtype, "LITTLE"), max(length, 0), size_bytes - begin, block_bytes)
        if length < 0:
            return None
        file.seek(begin + length + -length % 8)
    return None


def _wav_encoding(body: bytes) -> tuple[str | None, int]:
    """Return soundfile's subtype of a WAV ``fmt`` chunk, None if compressed, and the length of a sample of all channels."""
    if len(body) < 16:
        return None, 0
    code, channels, _, _, block_bytes, _ = struct.unpack("<HHIIHH", body[:16])
    if code == _EXTENSIBLE and len(body) >= 26:
        code = struct.unpack("<H", body[24:26])[0]
    container_bits = 8 * block_bytes // max(channels, 1)  # 24-bit samples may be stored in 32 bits
    return _WAV_SUBTYPES.get((code, container_bits)), block_bytes


def _read_aiff(file: BinaryIO, size_bytes: int) -> ContainerHeader | None:
    subtype, endian, block_bytes, n_frames = None, "BIG", 0, 0
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack(">4sI", head)
        begin = file.tell()
        if kind == b"COMM":
            body = file.read(min(length, _MAX_FORMAT_BYTES))
            if len(body) < 18:
                return None
            channels, n_frames, bits = struct.unpack(">HIH", body[:8])
            compression = body[18:22] or b"NONE"
            endian = "LITTLE" if compression == b"sowt" else "BIG"
            pcm_subtype = _AIFF_SUBTYPES.get(bits) if compression in (b"NONE", b"sowt", b"twos") else None
            subtype = _AIFC_FLOATS.get(compression.lower(), pcm_subtype)
            block_bytes = channels * bits // 8
        elif kind == b"SSND":
            if subtype is None or block_bytes == 0:
                return None
            skip = struct.unpack(">I", file.read(4).ljust(4, b"\0"))[0]
            first = begin + 8 + skip
            declared = min(n_frames * block_bytes, max(0, length - 8 - skip)) if length else 0
            end = _end_of_samples(file, begin + length, size_bytes, ">")
            return ContainerHeader(PcmLayout(first, subtype, endian), declared, end - first, block_bytes)
        file.seek(begin + length + length % 2)
    return None


def _end_of_samples(file: BinaryIO, declared_end: int, size_bytes: int, order: str) -> int:
    """Return the declared end of the samples if padding or chunks follow up to the end of the file; else that end."""
    position = declared_end + declared_end % 2
    if declared_end >= size_bytes or size_bytes - declared_end < _MIN_AUDIO_BYTES:
        return min(declared_end, size_bytes)
    file.seek(declared_end)
    if not any(file.read(_PADDING_BYTES)):
        file.seek(max(size_bytes - _PADDING_BYTES, declared_end))
        if not any(file.read(_PADDING_BYTES)):
            return declared_end  # padding to a whole disk cluster
    while position + 8 <= size_bytes:
        file.seek(position)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        if not all(32 <= character < 127 for character in kind):
            return size_bytes
        position += 8 + length + length % 2
    return declared_end if position <= size_bytes + 1 else size_bytes
