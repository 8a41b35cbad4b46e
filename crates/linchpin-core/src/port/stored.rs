//! What the port and the recipes store for a leader and for a node, byte by byte: one form for both, so that
//! each sees what the other wrote.

use crate::error::{Error, ErrorKind, Result};
use crate::name::NodeId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// The value of a leader's key: its node id, and after a NUL what only the election recipe writes, a number
/// that is this campaign's own and the value that the leader proclaimed.
///
/// ```
/// use bytes::Bytes;
/// use linchpin_core::{NodeId, stored::Leader};
/// let leader = Leader { node_id: NodeId::new("n1")?, campaign: Some(7), value: Bytes::from_static(b"10.0.0.1:80") };
/// assert_eq!(Leader::decode(&leader.encode())?, leader);
/// assert_eq!(Leader::decode(&Bytes::from_static(b"n1"))?.campaign, None);
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Leader {
    /// Who leads.
    pub node_id: NodeId,
    /// Tells the campaigns of one node apart; `None` for a leader that was acquired through the port.
    pub campaign: Option<u64>,
    /// What the leader proclaimed.
    pub value: Bytes,
}

impl fmt::Debug for Leader {
    /// Without the value: that is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("node_id", &self.node_id)
            .field("campaign", &self.campaign)
            .field("value", &format_args!("{} bytes", self.value.len()))
            .finish()
    }
}

impl Leader {
    /// The bytes that are stored.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::from(self.node_id.as_str());
        if let Some(campaign) = self.campaign {
            bytes.put_u8(0);
            bytes.put_u64(campaign);
            bytes.put_slice(&self.value);
        }
        bytes.freeze()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// `Backend` if it is nothing that [`encode`](Self::encode) wrote.
    pub fn decode(stored: &Bytes) -> Result<Self> {
        let (id, rest) = split_at_nul(stored);
        let node_id = std::str::from_utf8(&id).ok().and_then(|id| NodeId::new(id).ok());
        let node_id = node_id.ok_or_else(|| foreign("leader"))?;
        let Some(rest) = rest else { return Ok(Self { node_id, campaign: None, value: Bytes::new() }) };
        let (campaign, value) = rest.split_first_chunk().ok_or_else(|| foreign("leader"))?;
        Ok(Self { node_id, campaign: Some(u64::from_be_bytes(*campaign)), value: rest.slice_ref(value) })
    }
}

/// The value of a node's key: its capabilities, a line each, and after a NUL its metadata. What the members recipe
/// keeps has a number in between, which is this membership's own.
///
/// ```
/// use bytes::Bytes;
/// use linchpin_core::stored::Node;
/// let node = Node { capabilities: vec!["gpu".to_owned()], membership: Some(7), metadata: Bytes::from_static(b"{}") };
/// assert_eq!(Node::decode(&node.encode())?, node);
/// let registered = Node { metadata: Bytes::from_static(b"{}"), ..Node::default() };
/// assert_eq!(registered.encode(), "\0\0{}");
/// # Ok::<(), linchpin_core::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// What the node can do: one line of text each, ascending. A node that was registered through the port
    /// has none.
    pub capabilities: Vec<String>,
    /// Tells the memberships of one node apart; `None` for a node that was registered through the port.
    pub membership: Option<u64>,
    /// What the node says of itself.
    pub metadata: Bytes,
}

impl fmt::Debug for Node {
    /// Without the metadata: that is the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("capabilities", &self.capabilities)
            .field("membership", &self.membership)
            .field("metadata", &format_args!("{} bytes", self.metadata.len()))
            .finish()
    }
}

impl Node {
    /// The bytes that are stored.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        for capability in &self.capabilities {
            bytes.put_slice(capability.as_bytes());
            bytes.put_u8(b'\n');
        }
        bytes.put_u8(0);
        bytes.put_u8(u8::from(self.membership.is_some()));
        if let Some(membership) = self.membership {
            bytes.put_u64(membership);
        }
        bytes.put_slice(&self.metadata);
        bytes.freeze()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// `Backend` if it is nothing that [`encode`](Self::encode) wrote.
    pub fn decode(stored: &Bytes) -> Result<Self> {
        let (lines, metadata) = split_at_nul(stored);
        let mut metadata = metadata.ok_or_else(|| foreign("node"))?;
        let membership = match metadata.try_get_u8() {
            Ok(0) => None,
            Ok(1) => Some(metadata.try_get_u64().map_err(|_| foreign("node"))?),
            _ => return Err(foreign("node")),
        };
        let lines = std::str::from_utf8(&lines).map_err(|_| foreign("node"))?;
        Ok(Self { capabilities: lines.lines().map(str::to_owned).collect(), membership, metadata })
    }
}

fn split_at_nul(stored: &Bytes) -> (Bytes, Option<Bytes>) {
    match stored.iter().position(|byte| *byte == 0) {
        Some(at) => (stored.slice(..at), Some(stored.slice(at + 1..))),
        None => (stored.clone(), None),
    }
}

fn foreign(what: &str) -> Error {
    Error::new(ErrorKind::Backend, "decode", format!("the stored {what} was not written by linchpin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_and_metadata_come_back() {
        for bytes in [&b""[..], b"\0", b"a\n\0b", b"\xff\0\0"] {
            let value = Bytes::from_static(bytes);
            let node_id = NodeId::new("é\n*").expect("a name");
            let leader = Leader { node_id, campaign: Some(u64::MAX), value: value.clone() };
            assert_eq!(Leader::decode(&leader.encode()).expect("decodes"), leader);
            for (capabilities, membership) in [(vec![], None), (vec!["a".to_owned(), "é b".to_owned()], Some(7))] {
                let node = Node { capabilities, membership, metadata: value.clone() };
                assert_eq!(Node::decode(&node.encode()).expect("decodes"), node);
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b""[..], b"\xff", b"a\0short"] {
            Leader::decode(&Bytes::from_static(bytes)).expect_err("no leader");
        }
        for bytes in [&b""[..], b"{}", b"\xff\0\0", b"a\n\0", b"\0\x01short", b"\0\x02"] {
            Node::decode(&Bytes::from_static(bytes)).expect_err("no node");
        }
    }
}
