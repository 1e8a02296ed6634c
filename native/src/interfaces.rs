//! The network interfaces of one guest, as the engine handles their packets: one stream for all of them.
//!
//! A packet begins with the number of its interface, one byte, then its Ethernet frame follows. So whatever holds packets,
//! sends or replays them keeps them in the order in which they were taken, whichever interface they belong to.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;

/// Bytes in front of the Ethernet frame.
pub const NUMBER_BYTES: usize = 1;

/// What the engine has of each interface: its end of QEMU's socket, or the TAP device.
#[derive(Debug)]
pub struct Interfaces<T> {
    members: Vec<T>,
    /// Becomes readable when one of several does.
    gathered: Option<OwnedFd>,
    /// Where the next look begins: nobody who sends a lot keeps the others from being heard.
    next: Cell<usize>,
}

impl<T: AsFd> Interfaces<T> {
    /// Those with the numbers from 0 on.
    ///
    /// # Errors
    /// Whatever `epoll_create(2)` and `epoll_ctl(2)` report.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(members: Vec<T>) -> io::Result<Self> {
        assert!(!members.is_empty(), "a specification has an interface");
        // One alone is waited for itself.
        let gathered = (members.len() > 1)
            .then(|| {
                let gathered = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                for member in &members {
                    let data = epoll::EventData::new_u64(0);
                    epoll::add(&gathered, member, data, epoll::EventFlags::IN)?;
                }
                Ok::<_, io::Error>(gathered)
            })
            .transpose()?;
        Ok(Self {
            members,
            gathered,
            next: Cell::new(0),
        })
    }

    /// Takes one packet of any of them by `read`, which yields the length of a frame or `None` if there is none.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn receive(
        &self,
        into: &mut [u8],
        read: impl Fn(&T, &mut [u8]) -> io::Result<Option<usize>>,
    ) -> io::Result<Option<usize>> {
        let count = self.members.len();
        let (number_at, frame) = into.split_at_mut(NUMBER_BYTES);
        for tried in 0..count {
            let number = (self.next.get() + tried) % count;
            if let Some(length) = read(&self.members[number], frame)? {
                self.next.set((number + 1) % count);
                number_at[0] = u8::try_from(number).map_err(io::Error::other)?;
                return Ok(Some(NUMBER_BYTES + length));
            }
        }
        Ok(None)
    }

    /// The interface that `packet` belongs to, and its frame; `None` for one that is not there.
    pub fn address<'p>(&self, packet: &'p [u8]) -> Option<(&T, &'p [u8])> {
        let (number, frame) = packet.split_first()?;
        Some((self.members.get(usize::from(*number))?, frame))
    }

    /// The first of them.
    pub fn first(&self) -> &T {
        &self.members[0]
    }
}

impl<T: AsFd> AsFd for Interfaces<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.gathered {
            Some(gathered) => gathered.as_fd(),
            None => self.members[0].as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::os::unix::net::UnixDatagram;

    fn pairs(count: usize) -> (Interfaces<UnixDatagram>, Vec<UnixDatagram>) {
        let (ours, theirs) = (0..count)
            .map(|_| {
                let (ours, theirs) = UnixDatagram::pair().expect("socketpair");
                ours.set_nonblocking(true).expect("fcntl");
                (ours, theirs)
            })
            .unzip();
        (Interfaces::new(ours).expect("epoll"), theirs)
    }

    fn received(interfaces: &Interfaces<UnixDatagram>) -> Option<Vec<u8>> {
        let mut packet = [0; 100];
        let length = interfaces.receive(&mut packet, |socket, into| match socket.recv(into) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        });
        Some(packet[..length.expect("received")?].to_vec())
    }

    fn is_readable(interfaces: &Interfaces<UnixDatagram>) -> bool {
        let mut polled = [PollFd::new(interfaces, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).expect("poll") == 1
    }

    #[test]
    fn packets_tell_their_interface_and_each_interface_has_its_turn() {
        for count in [1, 2, 8] {
            let (interfaces, theirs) = pairs(count);
            assert!(!is_readable(&interfaces) && received(&interfaces).is_none());
            for round in 0..3 {
                for socket in &theirs {
                    socket.send(&[round; 60]).expect("sent");
                }
            }
            let mut seen = Vec::new();
            while is_readable(&interfaces) {
                let packet = received(&interfaces).expect("a packet");
                assert_eq!(packet.len(), 61);
                seen.push((packet[1], usize::from(packet[0])));
            }
            // In the order of each, none before the others.
            let fair: Vec<_> = (0..3)
                .flat_map(|round| (0..count).map(move |number| (round, number)))
                .collect();
            assert_eq!(seen, fair);
        }
    }

    #[test]
    fn a_packet_goes_to_the_interface_that_it_names_or_nowhere() {
        let (interfaces, theirs) = pairs(2);
        let (socket, frame) = interfaces.address(&[1, 7, 8]).expect("there is one");
        socket.send(frame).expect("sent");
        let mut got = [0; 9];
        assert_eq!(theirs[1].recv(&mut got).expect("received"), 2);
        assert_eq!(got[..2], [7, 8]);
        assert!(interfaces.address(&[2, 7]).is_none() && interfaces.address(&[]).is_none());
    }
}
