"""What the C library does with memory that was freed.

By default glibc gives large blocks back to the kernel and gets them anew, zeroed and page by page,
for the next layer's activations: on two cores that was 18,000 page faults and a tenth to a quarter
of the time of every forward pass, and 1,500 faults for every 1080p picture that is decoded.
"""

import ctypes

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEEP_BYTES = 1 << 30
# Above the 64 MiB of one heap of a thread's arena, so that an empty one is kept as well.
_PAD_BYTES = 65 << 20


def keep_freed_memory(libc: ctypes.CDLL | None = None) -> bool:
    """Give back what is free now, and from now on keep what is freed, for the whole process.

    For a process that does the same over and over, to be called when all is loaded. False where
    the C library is not glibc.
    """
    libc = libc or ctypes.CDLL(None)
    try:
        libc.malloc_trim(0)
        set_option = libc.mallopt
    except AttributeError:
        return False
    options = {
        _M_MMAP_THRESHOLD: _KEEP_BYTES,
        _M_TRIM_THRESHOLD: _KEEP_BYTES,
        _M_TOP_PAD: _PAD_BYTES,
    }
    return all(set_option(option, value) for option, value in options.items())
