//! What a Linux bridge is asked for beside taking a port.
//!
//! Source: rtnetlink(7), `IFLA_BR_FDB_FLUSH` in `include/uapi/linux/if_link.h`.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Makes `bridge` forget which address is behind which port, as the spanning tree protocol does when the topology has
/// changed: until it has learnt them again it sends a frame to all its ports.
///
/// # Errors
/// What the kernel answers: `ENODEV` if there is no such interface, `EOPNOTSUPP` if it is no bridge, `EPERM` without
/// `CAP_NET_ADMIN`.
pub fn forget_addresses(bridge: &str) -> io::Result<()> {
    let socket = {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket
    };
    let mut link = LinkMessage::default();
    link.attributes = vec![
        LinkAttribute::IfName(bridge.to_owned()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::FdbFlush])),
        ]),
    ];
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut message = NetlinkMessage::new(header, RouteNetlinkMessage::NewLink(link).into());
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    socket.send(&buffer, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    understand(&answer)
}

/// What the kernel's answer means.
///
/// # Errors
/// What it says, or `InvalidData` if it says nothing.
pub fn understand(answer: &[u8]) -> io::Result<()> {
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer)
        .map_err(|error| io::Error::other(error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Error(_) => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
