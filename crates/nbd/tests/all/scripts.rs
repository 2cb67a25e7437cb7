//! What libnbd is told to do, in Python: illegal requests that it sends because we ask it to, and what must come back.

/// Common beginning: `h` is a handle that does not check anything itself.
pub const BEGIN: &str = r#"
import errno, os, sys, nbd
uri = sys.argv[1]
MIB = 1 << 20

def handle(*contexts):
    h = nbd.NBD()
    for context in contexts:
        h.add_meta_context(context)
    h.set_strict_mode(0)
    return h

def connect(*contexts):
    h = handle(*contexts)
    h.connect_uri(uri)
    return h

def fails(number, call, *arguments):
    try:
        call(*arguments)
    except nbd.Error as error:
        assert error.errnum == number, (error.errnum, number, error.string)
        return
    raise AssertionError("%s%s succeeded" % (call, arguments))
"#;

/// A writable disk of 8 MiB with a minimum block of 512 bytes, and a snapshot called `before`.
pub const ERRORS: &str = r#"
h = connect()
size = h.get_size()
assert size == 8 * MIB
assert (h.get_block_size(0), h.get_block_size(1), h.get_block_size(2)) == (512, 4096, 32 * MIB)
for can in (h.can_flush, h.can_fua, h.can_trim, h.can_zero, h.can_fast_zero, h.can_cache,
            h.can_df, h.can_multi_conn):
    assert can(), can
assert not h.is_read_only() and not h.is_rotational()
assert h.get_structured_replies_negotiated()
block = bytes(512)
# Unaligned.
fails(errno.EINVAL, h.pread, 511, 0)
fails(errno.EINVAL, h.pread, 512, 1)
fails(errno.EINVAL, h.pwrite, bytes(511), 0)
fails(errno.EINVAL, h.trim, 512, 1)
fails(errno.EINVAL, h.zero, 1, 0)
fails(errno.EINVAL, h.cache, 512, 3)
# Past the end.
fails(errno.EINVAL, h.pread, 512, size)
fails(errno.EINVAL, h.trim, 512, size)
fails(errno.EINVAL, h.cache, 1024, size - 512)
fails(errno.ENOSPC, h.pwrite, block, size)
fails(errno.ENOSPC, h.zero, 1024, size - 512)
fails(errno.EINVAL, h.pread, 512, (1 << 63) - 512)
# Oversize.
fails(errno.EOVERFLOW, h.pread, 32 * MIB + 512, 0)
fails(errno.EINVAL, h.pwrite, bytes(32 * MIB + 512), 0)
# Unknown flags, and flags of other commands.
fails(errno.EINVAL, h.pread, 512, 0, 1 << 15)
fails(errno.EINVAL, h.pwrite, block, 0, nbd.CMD_FLAG_NO_HOLE)
fails(errno.EINVAL, h.trim, 512, 0, nbd.CMD_FLAG_FAST_ZERO)
fails(errno.EINVAL, h.flush, nbd.CMD_FLAG_DF)
# Not negotiated.
fails(errno.EINVAL, h.block_status, 512, 0, lambda *all: 0)
# Nothing at all.
assert h.pread(0, 0) == b""
h.pwrite(b"", 512)
h.zero(0, 0)
h.trim(0, 0)
# And the connection still works.
h.pwrite(bytes([9]) * 1024, 512, nbd.CMD_FLAG_FUA)
assert h.pread(512, 1024) == bytes([9]) * 512
h.zero(512, 512, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
h.flush()
assert h.pread(1024, 512) == block + bytes([9]) * 512
pieces = []
h.pread_structured(64 * 1024, 0, lambda data, at, kind, error: pieces.append((at, len(data), kind)))
assert (4096, 60 * 1024, nbd.READ_HOLE) in pieces or pieces[-1][2] == nbd.READ_HOLE, pieces
pieces = []
h.pread_structured(64 * 1024, 0, lambda data, at, kind, error: pieces.append((at, len(data), kind)),
                   nbd.CMD_FLAG_DF)
assert pieces == [(0, 64 * 1024, nbd.READ_DATA)], pieces
h.shutdown()
"#;

/// The same disk without structured replies.
pub const SIMPLE: &str = r#"
h = handle()
h.set_request_structured_replies(False)
h.connect_uri(uri)
assert not h.get_structured_replies_negotiated() and not h.can_df()
fails(errno.EINVAL, h.pread, 32 * MIB + 512, 0)
fails(errno.EINVAL, h.pread, 512, 0, nbd.CMD_FLAG_DF)
h.pwrite(bytes([4]) * 512, 4096)
assert h.pread(1024, 4096) == bytes([4]) * 512 + bytes(512)
h.shutdown()
"#;

/// A read-only disk.
pub const READ_ONLY: &str = r#"
h = connect()
assert h.is_read_only() and not h.can_trim() and not h.can_zero() and not h.can_fast_zero()
fails(errno.EPERM, h.pwrite, bytes(512), 0)
fails(errno.EPERM, h.trim, 512, 0)
fails(errno.EPERM, h.zero, 512, 0)
h.flush()
assert h.pread(512, 0) == bytes(512)
h.shutdown()
"#;

/// Block 1 was written before the snapshot `before`, block 2 after it.
pub const CONTEXTS: &str = r#"
names = ["base:allocation", "qemu:dirty-bitmap:before", "tintype:changed-since:before"]
h = connect(*names)
assert all(h.can_meta_context(name) for name in names)
found = {}
def note(name, at, runs, error):
    found[name] = runs
h.block_status(5 * 4096, 0, note)
assert found["base:allocation"] == [4096, 3, 8192, 0, 8192, 3], found
dirty = [8192, 0, 4096, 1, 8192, 0]
assert found[names[1]] == dirty and found[names[2]] == dirty, found
h.block_status(5 * 4096, 0, note, nbd.CMD_FLAG_REQ_ONE)
assert found["base:allocation"] == [4096, 3] and found[names[1]] == [8192, 0], found
h.shutdown()
"#;

/// The handshake by hand.
pub const OPTIONS: &str = r#"
h = handle()
h.set_opt_mode(True)
h.connect_uri(uri)
listed = []
assert h.opt_list(lambda name, about: listed.append(name)) == 1 and listed == ["disk"]
h.set_export_name("nothing")
fails(errno.ENOENT, h.opt_info)
h.set_export_name("")
h.set_full_info(True)
h.opt_info()
assert h.get_canonical_export_name() == "disk"
contexts = []
h.opt_list_meta_context(contexts.append)
assert "base:allocation" in contexts and "qemu:dirty-bitmap:before" in contexts, contexts
h.set_export_name("disk")
h.opt_go()
assert h.pread(512, 0) == bytes(512)
h.shutdown()
h = handle()
h.set_opt_mode(True)
h.connect_uri(uri)
h.opt_abort()
h = handle()
h.set_handshake_flags(0)
h.connect_uri(uri)
assert h.pread(512, 0) == bytes(512)
"#;

/// Several connections and many requests at once.
pub const PARALLEL: &str = r#"
handles = [connect() for _ in range(4)]
handles[0].pwrite(bytes([1]) * 4096, 0)
assert all(h.pread(4096, 0) == bytes([1]) * 4096 for h in handles)
handles[3].flush()
for n, h in enumerate(handles):
    for i in range(200):
        h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray([n * 16 + i % 16]) * 4096),
                     (n * 256 + i) * 4096, completion=lambda error: 1)
for h in handles:
    while h.aio_in_flight() > 0:
        h.poll(-1)
for n in range(4):
    for i in range(200):
        data = handles[3 - n].pread(4096, (n * 256 + i) * 4096)
        assert data == bytes([n * 16 + i % 16]) * 4096, (n, i)
for h in handles:
    h.shutdown()
"#;
