"""What a WAV or AIFF header claims, against what the file holds.

A recorder whose battery dies leaves a header with a length of 0; one that writes past 4 GiB leaves a length that wrapped
around. libsndfile believes both and silently gives too little. Here the chunks are walked once more, so that such files
are read to their end, and files that were cut short are known as such. What tells of the clock is picked up on the way.
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
"""Lengths that programs write which do not know it yet."""
_LARGEST_FORMAT_BYTES = 2**8
_LARGEST_HARP_BYTES = 2**22
_LARGEST_LIST_BYTES = 2**12
_LITTER_BYTES = 2**20
_LIKELY_SOUND_BYTES = 1024
"""Fewer stray bytes than this behind the declared samples are taken for litter, not for sound."""


@dataclass(frozen=True, slots=True)
class HeaderClaim:
    """A header's account of the samples beside the file's own.

    Attributes:
        declared_bytes: length of the samples as the header has it.
        available_bytes: length of what lies there.
        block_bytes: length of one sample of all channels.
        harp: the ``harp`` chunk of an XWAV, `xwav` reads it; None where there is none.
        comment: what stands under ``ICMT`` before the samples; AudioMoths tell the time there.
    """

    layout: PcmLayout
    declared_bytes: int
    available_bytes: int
    block_bytes: int
    harp: bytes | None = None
    comment: str = ""

    @property
    def states_too_little(self) -> bool:
        """More sound lies there than the header states."""
        return self.available_bytes - self.declared_bytes >= _LIKELY_SOUND_BYTES

    @property
    def states_too_much(self) -> bool:
        """The file ends before the sound that its header states; a length of all ones means "not known yet"."""
        unknown = any(first <= self.declared_bytes <= last for first, last in _UNKNOWN_BYTES)
        return self.declared_bytes > self.available_bytes and not unknown

    @property
    def available_frames(self) -> int:
        """Samples per channel from the first one to the end of the file."""
        return self.available_bytes // self.block_bytes

    @property
    def declared_frames(self) -> int:
        """Samples per channel as the header has it."""
        return self.declared_bytes // self.block_bytes


def examine(file: BinaryIO, size_bytes: int) -> HeaderClaim | None:
    """Walk the chunks of a RIFF or AIFF file; None for any other format and for encodings other than plain samples."""
    file.seek(0)
    magic = file.read(12)
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _examine_wav(file, size_bytes)
    if magic[:4] == b"riff":
        return _examine_w64(file, size_bytes)
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return _examine_aiff(file, size_bytes)
    return None


def _examine_wav(file: BinaryIO, size_bytes: int) -> HeaderClaim | None:
    subtype, block_bytes, long_length, comment = None, 0, None, ""
    harp: bytes | None = None
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", head)
        begin = file.tell()
        if kind == b"ds64":
            long_length = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        elif kind == b"fmt ":
            subtype, block_bytes = _wav_encoding(file.read(min(length, _LARGEST_FORMAT_BYTES)))
        elif kind == b"harp":
            harp = file.read(min(length, _LARGEST_HARP_BYTES))
        elif kind == b"LIST":
            comment = _comment(file.read(min(length, _LARGEST_LIST_BYTES))) or comment
        elif kind == b"data":
            if subtype is None or block_bytes == 0:
                return None
            layout = PcmLayout(begin, subtype, "LITTLE")
            if long_length is not None and length == _ALL_ONES:
                length = long_length
            end = _end_of_sound(file, begin + length, size_bytes, "<")
            return HeaderClaim(layout, length, end - begin, block_bytes, harp, comment)
        file.seek(begin + length + length % 2)
    return None


def _comment(body: bytes) -> str:
    """The ``ICMT`` text of a LIST chunk; empty where it has none."""
    position = 4
    while body[:4] == b"INFO" and position + 8 <= len(body):
        kind, length = struct.unpack_from("<4sI", body, position)
        position += 8
        if kind == b"ICMT":
            return body[position : position + length].split(b"\0")[0].decode("ascii", "replace")
        position += length + length % 2
    return ""


def _examine_w64(file: BinaryIO, size_bytes: int) -> HeaderClaim | None:
    """Sony's 64-bit WAV: chunks of a GUID, that begins with the name, and a length of both, in steps of 8 bytes."""
    subtype, block_bytes = None, 0
    file.seek(_W64_HEAD_BYTES)
    while len(head := file.read(24)) == 24:
        begin, length = file.tell(), struct.unpack("<Q", head[16:])[0] - 24
        if head[:4] == b"fmt ":
            subtype, block_bytes = _wav_encoding(file.read(min(length, _LARGEST_FORMAT_BYTES)))
        elif head[:4] == b"data":
            if subtype is None or block_bytes == 0:
                return None
            return HeaderClaim(PcmLayout(begin, subtype, "LITTLE"), max(length, 0), size_bytes - begin, block_bytes)
        if length < 0:
            return None
        file.seek(begin + length + -length % 8)
    return None


def _wav_encoding(body: bytes) -> tuple[str | None, int]:
    """Soundfile's name for a WAV ``fmt`` chunk's samples, and the length of one sample of all channels."""
    if len(body) < 16:
        return None, 0
    code, channels, _, _, block_bytes, _ = struct.unpack("<HHIIHH", body[:16])
    if code == _EXTENSIBLE and len(body) >= 26:
        code = struct.unpack("<H", body[24:26])[0]
    container_bits = 8 * block_bytes // max(channels, 1)  # 24 bits may lie in 32
    return _WAV_SUBTYPES.get((code, container_bits)), block_bytes


def _examine_aiff(file: BinaryIO, size_bytes: int) -> HeaderClaim | None:
    subtype, endian, block_bytes, n_frames = None, "BIG", 0, 0
    while len(head := file.read(8)) == 8:
        kind, length = struct.unpack(">4sI", head)
        begin = file.tell()
        if kind == b"COMM":
            body = file.read(min(length, _LARGEST_FORMAT_BYTES))
            if len(body) < 18:
                return None
            channels, n_frames, bits = struct.unpack(">HIH", body[:8])
            compression = body[18:22] or b"NONE"
            endian = "LITTLE" if compression == b"sowt" else "BIG"
            plain = _AIFF_SUBTYPES.get(bits) if compression in (b"NONE", b"sowt", b"twos") else None
            subtype = _AIFC_FLOATS.get(compression.lower(), plain)
            block_bytes = channels * bits // 8
        elif kind == b"SSND":
            if subtype is None or block_bytes == 0:
                return None
            skip = struct.unpack(">I", file.read(4).ljust(4, b"\0"))[0]
            first = begin + 8 + skip
            declared = min(n_frames * block_bytes, max(0, length - 8 - skip)) if length else 0
            end = _end_of_sound(file, begin + length, size_bytes, ">")
            return HeaderClaim(PcmLayout(first, subtype, endian), declared, end - first, block_bytes)
        file.seek(begin + length + length % 2)
    return None


def _end_of_sound(file: BinaryIO, declared_end: int, size_bytes: int, order: str) -> int:
    """The header's end of the samples, if litter or a chain of chunks follows it up to the file's end; else the file's."""
    position = declared_end + declared_end % 2
    if declared_end >= size_bytes or size_bytes - declared_end < _LIKELY_SOUND_BYTES:
        return min(declared_end, size_bytes)
    file.seek(declared_end)
    if not any(file.read(_LITTER_BYTES)):
        file.seek(max(size_bytes - _LITTER_BYTES, declared_end))
        if not any(file.read(_LITTER_BYTES)):
            return declared_end  # a recorder that fills up its clusters
    while position + 8 <= size_bytes:
        file.seek(position)
        kind, length = struct.unpack(f"{order}4sI", file.read(8))
        if not all(32 <= letter < 127 for letter in kind):
            return size_bytes
        position += 8 + length + length % 2
    return declared_end if position <= size_bytes + 1 else size_bytes
