#!/usr/bin/env python3
"""Computes noise-ikpsk2.txt: WireGuard handshakes with fixed keys, from nothing but BLAKE2s and integer arithmetic.

Independent of every crate that Lockgate uses. Run it and compare:  python3 noise-ikpsk2.py | diff - noise-ikpsk2.txt
"""
import hashlib
import hmac
import struct

P = 2**255 - 19


def x25519(scalar, point):
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    u = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in range(254, -1, -1):
        bit = (k >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = (x2 + z2) % P, (x2 - z2) % P, (x3 + z3) % P, (x3 - z3) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        x3, z3 = (da + cb) ** 2 % P, u * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def public(scalar):
    return x25519(scalar, (9).to_bytes(32, "little"))


def chacha_block(key, counter, nonce):
    state = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    state += [counter] + list(struct.unpack("<3I", nonce))
    w = state[:]

    def quarter(a, b, c, d):
        for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            w[x] = (w[x] + w[y]) & 0xFFFFFFFF
            v = w[z] ^ w[x]
            w[z] = ((v << r) | (v >> (32 - r))) & 0xFFFFFFFF

    for _ in range(10):
        for q in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                  (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(*q)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(w, state)))


def aead(key, counter, text, associated):
    nonce = bytes(4) + struct.pack("<Q", counter)
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range(len(text) // 64 + 1))
    sealed = bytes(a ^ b for a, b in zip(text, stream))
    one_time = chacha_block(key, 0, nonce)
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(one_time[16:32], "little")
    pad = lambda b: b + bytes(-len(b) % 16)
    data = pad(associated) + pad(sealed) + struct.pack("<QQ", len(associated), len(sealed))
    acc = 0
    for i in range(0, len(data), 16):
        acc = (acc + int.from_bytes(data[i:i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return sealed + ((acc + s) % 2**128).to_bytes(16, "little")


def h(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def kdf(ck, material, outputs):
    mac = lambda key, data: hmac.new(key, data, hashlib.blake2s).digest()
    secret, out, last = mac(ck, material), [], b""
    for i in range(1, outputs + 1):
        last = mac(secret, last + bytes([i]))
        out.append(last)
    return out


def handshake(si, sr, ei, er, psk, timestamp):
    Si, Sr, Ei, Er = map(public, (si, sr, ei, er))
    ck = h(b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s")
    hh = h(h(ck, b"WireGuard v1 zx2c4 Jason@zx2c4.com"), Sr)
    # -> e, es, s, ss
    hh, (ck,) = h(hh, Ei), kdf(ck, Ei, 1)
    ck, k = kdf(ck, x25519(ei, Sr), 2)
    static = aead(k, 0, Si, hh)
    hh = h(hh, static)
    ck, k = kdf(ck, x25519(si, Sr), 2)
    stamp = aead(k, 0, timestamp, hh)
    hh = h(hh, stamp)
    # <- e, ee, se, psk
    hh, (ck,) = h(hh, Er), kdf(ck, Er, 1)
    (ck,) = kdf(ck, x25519(er, Ei), 1)
    (ck,) = kdf(ck, x25519(er, Si), 1)
    ck, t, k = kdf(ck, psk, 3)
    hh = h(hh, t)
    empty = aead(k, 0, b"", hh)
    to_responder, to_initiator = kdf(ck, b"", 2)
    return Ei + static + stamp, Er + empty, to_responder, to_initiator


for number in range(4):
    key = lambda name: h(name.encode(), bytes([number]))
    si, sr, ei, er = map(key, ("initiator", "responder", "initiator ephemeral", "responder ephemeral"))
    psk = key("preshared") if number % 2 else bytes(32)
    timestamp = h(b"timestamp", bytes([number]))[:12]
    first, second, to_responder, to_initiator = handshake(si, sr, ei, er, psk, timestamp)
    for name, value in (
        ("initiator", si), ("responder", sr), ("initiator_ephemeral", ei), ("responder_ephemeral", er),
        ("preshared", psk), ("timestamp", timestamp), ("first", first), ("second", second),
        ("to_responder", to_responder), ("to_initiator", to_initiator),
        ("data", aead(to_responder, 7, b"a payload", b"")),
    ):
        print(name, value.hex())
    print()
