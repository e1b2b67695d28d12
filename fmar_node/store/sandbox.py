"""What a query worker gives up before it touches the engine: the network, memory without end, its parent's absence.

Rules kept here: standard library only; in place before pyoxigraph is imported; believed only after trying
(`is_locked` opens sockets), so that no way of locking is taken on trust (engine reference, section 3).

The filter is 13 instructions of seccomp-BPF: socket(2) for anything but AF_UNIX fails with EACCES,
io_uring_setup with ENOSYS, a foreign system call ABI ends the process; all threads, for good.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import struct
from contextlib import suppress
from typing import NamedTuple


class Machine(NamedTuple):
    """The numbers of an architecture (linux/audit.h, asm/unistd.h)."""

    audit: int
    socket: int
    seccomp: int


MACHINES = {"x86_64": Machine(0xC000003E, 41, 317), "aarch64": Machine(0xC00000B7, 198, 277)}
IO_URING_SETUP = 425
FOREIGN_ABI = 0x40000000

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SET_MODE_FILTER, FILTER_FLAG_TSYNC = 1, 1
KILL, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def lock_network() -> bool:
    """Take the network away from this process, all its threads and children; whether the kernel agreed."""
    machine = MACHINES.get(os.uname().machine)
    if machine is None or os.uname().sysname != "Linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = _filter(machine)
    program = Program(len(code) // 8, code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    flags = ctypes.c_ulong(FILTER_FLAG_TSYNC)
    return not libc.syscall(ctypes.c_long(machine.seccomp), ctypes.c_ulong(SET_MODE_FILTER), flags, ctypes.byref(program))


def is_locked() -> bool:
    """Whether sockets of both Internet families, stream and datagram, are refused at once."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return all(_is_refused(family, kind) for family in (socket.AF_INET, socket.AF_INET6) for kind in kinds)


def limit(memory_bytes: int) -> None:
    """Cap the address space, leave no core files, be the first that the kernel ends when memory is short."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, b"1000")
        os.close(descriptor)


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends: nobody else would stop a query that never does."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _is_refused(family: int, kind: int) -> bool:
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM)
    return False


def _filter(machine: Machine) -> bytes:
    """The program: operation, instructions to skip when true and when false, operand."""
    instructions = (
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
        (AT_LEAST, 6, 0, FOREIGN_ABI),
        (EQUAL, 6, 0, IO_URING_SETUP),
        (EQUAL, 0, 3, machine.socket),
        (LOAD, 0, 0, FIRST_ARGUMENT_AT),
        (EQUAL, 1, 0, socket.AF_UNIX),
        (RETURN, 0, 0, REFUSE | errno.EACCES),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, KILL),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
