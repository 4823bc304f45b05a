"""The system-call filter that every function runs under: a BPF program built once, as bytes.

What is refused answers EPERM, so that software that probes (glibc, Node.js, Go) goes on without it. clone3 answers ENOSYS,
because its flags are behind a pointer that a filter cannot read; libcs then use clone, whose flags are checked here.
Allowed is everything else: a function may be any program. https://man7.org/linux/man-pages/man2/seccomp.2.html
"""

from __future__ import annotations

import errno
import os
import struct

_LD_W, _JEQ, _JSET, _JGE, _RET = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_X32 = 0x40000000

# CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}
_NAMESPACE_FLAGS = 0x00000080 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

# Families a function may open: unix, inet, inet6, and netlink for interface listings (getifaddrs in every runtime).
_SOCKET_FAMILIES = (1, 2, 10, 16)

# name: (x86_64, aarch64); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "personality": (135, 92),
    "nfsservctl": (180, 42),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "landlock_restrict_self": (446, 446),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)
_SOCKET = (41, 198)
_IOCTL = (16, 29)
_AUDIT_ARCH = (0xC000003E, 0xC00000B7)


def build_filter(machine: str = "") -> bytes:
    """The program for this machine's architecture, as an array of struct sock_filter."""
    machine = machine or os.uname().machine
    assert machine in ("x86_64", "aarch64"), machine
    arch = 0 if machine == "x86_64" else 1
    deny = _ERRNO | errno.EPERM
    code: list[tuple[int, int, int, int]] = [
        (_LD_W, 0, 0, _ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[arch]),
        (_RET, 0, 0, _KILL),  # another architecture's numbers would mean other calls
        (_LD_W, 0, 0, _NR),
    ]
    if arch == 0:
        code += [(_JGE, 0, 1, _X32), (_RET, 0, 0, deny)]
    for numbers in _DENIED.values():
        number = numbers[arch]
        if number is not None:
            code += [(_JEQ, 0, 1, number), (_RET, 0, 0, deny)]
    code += [(_JEQ, 0, 1, _CLONE3[arch]), (_RET, 0, 0, _ERRNO | errno.ENOSYS)]
    code += [(_JEQ, 0, 4, _CLONE[arch]), (_LD_W, 0, 0, _ARG0), (_JSET, 0, 1, _NAMESPACE_FLAGS), (_RET, 0, 0, deny)]
    code += [(_RET, 0, 0, _ALLOW)]
    code += [(_JEQ, 0, 4, _IOCTL[arch]), (_LD_W, 0, 0, _ARG1), (_JEQ, 1, 0, _TIOCSTI), (_JEQ, 0, 1, _TIOCLINUX)]
    code += [(_RET, 0, 0, deny)]
    code += [(_LD_W, 0, 0, _NR), (_JEQ, 0, len(_SOCKET_FAMILIES) + 2, _SOCKET[arch]), (_LD_W, 0, 0, _ARG0)]
    for at, family in enumerate(_SOCKET_FAMILIES):
        code += [(_JEQ, len(_SOCKET_FAMILIES) - at, 0, family)]
    code += [(_RET, 0, 0, deny), (_RET, 0, 0, _ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in code)
