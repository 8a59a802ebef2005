//! Options of sockets that no crate offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use libc::c_int;
use rustix::net::{RecvFlags, recv};

/// Tells, or does no longer tell, with each message of an IPv4 socket to which of our
/// addresses it came.
pub(super) fn set_packet_info_v4(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, on)
}

/// The same of an IPv6 socket.
pub(super) fn set_packet_info_v6(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, on)
}

/// Tells, or does no longer tell, when each message came.
pub(super) fn set_timestamps(socket: impl AsFd, on: bool) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, on)
}

/// Has the kernel say of each send, on the socket's error queue, that it was handed to the
/// queue of a device: that no neighbour has to answer first (`SOF_TIMESTAMPING_TX_SCHED`).
pub(super) fn set_send_reports(socket: impl AsFd, on: bool) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SCHED | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let flags = if on { flags.cast_signed() } else { 0 };
    set_int(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags)
}

/// Takes the reports that are there; returns whether there was one.
pub(super) fn take_send_reports(socket: impl AsFd) -> bool {
    let flags = RecvFlags::ERRQUEUE | RecvFlags::DONTWAIT;
    let mut was_there = false;
    while recv(&socket, &mut [0_u8; 1], flags).is_ok() {
        was_there = true;
    }
    was_there
}

/// Bytes that were sent and that no device has taken yet, with the kernel's own (`SIOCOUTQ`).
pub(super) fn unsent_bytes(socket: impl AsFd) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the descriptor is borrowed, so it is open for the length of the call; this
    // request writes one int, and `bytes` is one that lives as long.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 {
        Ok(usize::try_from(bytes).unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set(socket: impl AsFd, level: c_int, name: c_int, on: bool) -> io::Result<()> {
    set_int(socket, level, name, c_int::from(on))
}

fn set_int(socket: impl AsFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed, so it is open for the length of the call; the kernel
    // reads as many bytes from `value` as it is told that it has.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
