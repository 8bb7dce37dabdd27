"""Reads GGUF files and turns their tensors into float64, whatever type they are kept in. NumPy only.

The layouts of the quantized types are ggml's, written out here as formulas on whole arrays of blocks.
"""
import re
import struct

import numpy as np

SCALARS = {0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8", 11: "<i8", 12: "<f8"}
STRING, ARRAY = 8, 9
IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float64)


def half(blocks, offset):
    """The half-precision number at a byte of each block, as a column."""
    return np.ascontiguousarray(blocks[:, offset:offset + 2]).view("<f2").astype(np.float64)


def nibbles(data):
    """[n, k] bytes -> [n, 2k]: all low halves, then all high ones."""
    return np.concatenate([data & 15, data >> 4], axis=1).astype(np.float64)


def fifth_bits(data):
    """[n, 4] bytes -> [n, 32] bits."""
    word = np.ascontiguousarray(data).view("<u4")
    return ((word >> np.arange(32, dtype=np.uint32)) & 1).astype(np.float64)


def q4_0(b):
    return half(b, 0) * (nibbles(b[:, 2:]) - 8)


def q4_1(b):
    return half(b, 0) * nibbles(b[:, 4:]) + half(b, 2)


def q5_0(b):
    return half(b, 0) * (nibbles(b[:, 6:]) + 16 * fifth_bits(b[:, 2:6]) - 16)


def q5_1(b):
    return half(b, 0) * (nibbles(b[:, 8:]) + 16 * fifth_bits(b[:, 4:8])) + half(b, 2)


def q8_0(b):
    return half(b, 0) * b[:, 2:].view(np.int8).astype(np.float64)


def iq4_nl(b):
    return half(b, 0) * IQ4[nibbles(b[:, 2:]).astype(np.intp)]


def two_bits(data):
    """[n, 64] bytes -> [n, half, step, 32]: in each half, two bits of all its bytes a step."""
    data = data.reshape(-1, 2, 1, 32)
    return ((data >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)) & 3).astype(np.float64)


def q2_k(b):
    scales = b[:, :16].reshape(-1, 2, 4, 2)
    d, least = half(b, 80).reshape(-1, 1, 1, 1), half(b, 82).reshape(-1, 1, 1, 1)
    per_value = lambda x: np.repeat(x.astype(np.float64), 16, axis=3)
    return d * per_value(scales & 15) * two_bits(b[:, 16:80]) - least * per_value(scales >> 4)


def q3_k(b):
    packed = b[:, 96:108]
    i = np.arange(16)
    low = np.where(i < 8, packed[:, i % 8] & 15, packed[:, i % 8] >> 4)
    high = (packed[:, 8 + i % 4] >> (2 * (i // 4)).astype(np.uint8)) & 3
    scales = (low | (high << 4)).astype(np.float64).reshape(-1, 2, 4, 2) - 32
    bit = (b[:, :32].reshape(-1, 1, 1, 32) >> np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1)) & 1
    values = two_bits(b[:, 32:96]) - np.where(bit, 0, 4)
    return half(b, 108).reshape(-1, 1, 1, 1) * np.repeat(scales, 16, axis=3) * values


def scales_and_minima(packed):
    """The twelve bytes of Q4_K and Q5_K -> [n, 8] scales and minima of six bits."""
    low, middle, high = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    minima = np.concatenate([middle & 63, (high >> 4) | ((middle >> 6) << 4)], axis=1)
    return scales.astype(np.float64), minima.astype(np.float64)


def with_minima(b, values):
    scales, minima = scales_and_minima(b[:, 4:16])
    return (half(b, 0) * scales)[:, :, None] * values - (half(b, 2) * minima)[:, :, None]


def paired_nibbles(data):
    """[n, 128] bytes -> [n, 8, 32]: 32 bytes hold two sub-blocks, in their low and in their high halves."""
    data = data.reshape(-1, 4, 32)
    return np.stack([data & 15, data >> 4], axis=2).reshape(-1, 8, 32).astype(np.float64)


def q4_k(b):
    return with_minima(b, paired_nibbles(b[:, 16:]))


def q5_k(b):
    fifth = (b[:, 16:48].reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8).reshape(1, 8, 1)) & 1
    return with_minima(b, paired_nibbles(b[:, 48:]) + 16.0 * fifth)


def q6_k(b):
    low, high = b[:, :128].reshape(-1, 2, 64), b[:, 128:192].reshape(-1, 2, 32)
    scales = np.ascontiguousarray(b[:, 192:208]).view(np.int8).astype(np.float64).reshape(-1, 2, 4, 2)
    four = np.stack([low[:, :, :32] & 15, low[:, :, 32:] & 15, low[:, :, :32] >> 4, low[:, :, 32:] >> 4], axis=2)
    two = np.stack([(high >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2)
    values = (four | (two << 4)).astype(np.float64) - 32
    return half(b, 208).reshape(-1, 1, 1, 1) * np.repeat(scales, 16, axis=3) * values


def iq4_xs(b):
    high = np.ascontiguousarray(b[:, 2:4]).view("<u2")
    i = np.arange(8)
    scales = ((b[:, 4 + i // 2] >> (4 * (i % 2)).astype(np.uint8)) & 15) | (((high >> (2 * i).astype(np.uint16)) & 3) << 4).astype(np.uint8)
    values = b[:, 8:].reshape(-1, 8, 16)
    values = IQ4[np.concatenate([values & 15, values >> 4], axis=2)]
    return (half(b, 0) * (scales.astype(np.float64) - 32))[:, :, None] * values


# number in the file -> name, values of a block, bytes of a block, [n, bytes] -> n * values numbers
TYPES = {
    0: ("F32", 1, 4, lambda b: b.view("<f4").astype(np.float64)),
    1: ("F16", 1, 2, lambda b: b.view("<f2").astype(np.float64)),
    30: ("BF16", 1, 2, lambda b: (b.view("<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)),
    2: ("Q4_0", 32, 18, q4_0), 3: ("Q4_1", 32, 20, q4_1), 6: ("Q5_0", 32, 22, q5_0), 7: ("Q5_1", 32, 24, q5_1),
    8: ("Q8_0", 32, 34, q8_0), 20: ("IQ4_NL", 32, 18, iq4_nl), 10: ("Q2_K", 256, 84, q2_k), 11: ("Q3_K", 256, 110, q3_k),
    12: ("Q4_K", 256, 144, q4_k), 13: ("Q5_K", 256, 176, q5_k), 14: ("Q6_K", 256, 210, q6_k), 23: ("IQ4_XS", 256, 136, iq4_xs),
}


class Tensor:
    """shape is NumPy's: the contiguous dimension last."""

    def __init__(self, data, kind, shape):
        self.data, self.kind, self.shape = data, kind, tuple(shape)

    def rows(self, begin, end):
        """Rows [begin, end) of the tensor seen as one matrix, in float64."""
        _, block, size, decode = TYPES[self.kind]
        row = self.shape[-1] // block * size
        blocks = np.ascontiguousarray(self.data[begin * row:end * row]).reshape(-1, size)
        return decode(blocks).reshape(end - begin, self.shape[-1])

    def matrix(self, index=0):
        """One matrix of a stack, or the whole tensor when it is no stack."""
        rows = self.shape[-2] if len(self.shape) > 1 else 1
        return self.rows(index * rows, (index + 1) * rows)

    def stack(self):
        return self.rows(0, int(np.prod(self.shape[:-1]))).reshape(self.shape)

    def vector(self):
        return self.rows(0, 1)[0]


class File:
    """keys: name -> value; tensors: name -> Tensor. Parts of a model in several files are read together."""

    def __init__(self, path):
        self.keys, self.tensors = {}, {}
        part = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", path)
        paths = [f"{part[1]}-{i + 1:05}-of-{part[2]}.gguf" for i in range(int(part[2]))] if part else [path]
        for number, name in enumerate(paths):
            keys = self.read(name)
            if number == 0:
                self.keys = keys

    def read(self, path):
        data = np.memmap(path, np.uint8, "r")
        at = 0

        def take(form):
            nonlocal at
            values = struct.unpack_from(form, data, at)
            at += struct.calcsize(form)
            return values[0] if len(values) == 1 else values

        def take_text():
            nonlocal at
            size = take("<Q")
            at += size
            return bytes(data[at - size:at]).decode("utf-8", "replace")

        def take_value(kind):
            nonlocal at
            if kind == STRING:
                return take_text()
            if kind == ARRAY:
                element, count = take("<IQ")
                if element == STRING:
                    return [take_text() for _ in range(count)]
                dtype = np.dtype(SCALARS[element])
                at += count * dtype.itemsize
                return data[at - count * dtype.itemsize:at].view(dtype)
            dtype = np.dtype(SCALARS[kind])
            at += dtype.itemsize
            return bytes_value(data[at - dtype.itemsize:at], dtype)

        def bytes_value(raw, dtype):
            return np.frombuffer(bytes(raw), dtype)[0].item()

        magic, version, tensors, pairs = take("<4sIQQ")
        if magic != b"GGUF" or version not in (2, 3):
            raise SystemExit(f"{path}: not a GGUF file of version 2 or 3")
        keys = {}
        for _ in range(pairs):
            key = take_text()
            keys[key] = take_value(take("<I"))
        infos = []
        for _ in range(tensors):
            name = take_text()
            dims = take("<I")
            ne = [take("<Q") for _ in range(dims)]
            kind, offset = take("<IQ")
            infos.append((name, ne, kind, offset))
        alignment = keys.get("general.alignment", 32)
        begin = (at + alignment - 1) // alignment * alignment
        for name, ne, kind, offset in infos:
            if kind not in TYPES:
                raise SystemExit(f"{path}: tensor '{name}' has the type number {kind}, which is not supported")
            _, block, size, _ = TYPES[kind]
            count = int(np.prod(ne)) // block * size
            self.tensors[name] = Tensor(data[begin + offset:begin + offset + count], kind, ne[::-1])
        return keys
