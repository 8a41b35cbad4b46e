//! What can be asked of a driver, by name.

use std::fmt;

/// A method of [`Driver`](crate::Driver), as errors, spans, metrics and layers name it.
///
/// ```
/// use linchpin_core::Operation;
/// assert_eq!(Operation::RemoveGroup.as_str(), "remove_group");
/// assert!(Operation::Claim.applies_nothing() && !Operation::Claim.is_read());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// [`Driver::get`](crate::Driver::get)
    Get,
    /// [`Driver::scan`](crate::Driver::scan)
    Scan,
    /// [`Driver::commit`](crate::Driver::commit)
    Commit,
    /// [`Driver::watch`](crate::Driver::watch)
    Watch,
    /// [`Driver::publish`](crate::Driver::publish)
    Publish,
    /// [`Driver::subscribe`](crate::Driver::subscribe)
    Subscribe,
    /// [`Driver::append`](crate::Driver::append)
    Append,
    /// [`Driver::claim`](crate::Driver::claim)
    Claim,
    /// [`Driver::settle`](crate::Driver::settle)
    Settle,
    /// [`Driver::inspect`](crate::Driver::inspect)
    Inspect,
    /// [`Driver::trim`](crate::Driver::trim)
    Trim,
    /// [`Driver::remove_group`](crate::Driver::remove_group)
    RemoveGroup,
    /// [`Driver::clear`](crate::Driver::clear)
    Clear,
    /// [`Driver::health`](crate::Driver::health)
    Health,
    /// [`Driver::close`](crate::Driver::close)
    Close,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Get,
        Self::Scan,
        Self::Commit,
        Self::Watch,
        Self::Publish,
        Self::Subscribe,
        Self::Append,
        Self::Claim,
        Self::Settle,
        Self::Inspect,
        Self::Trim,
        Self::RemoveGroup,
        Self::Clear,
        Self::Health,
        Self::Close,
    ];

    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Scan => "scan",
            Self::Commit => "commit",
            Self::Watch => "watch",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Append => "append",
            Self::Claim => "claim",
            Self::Settle => "settle",
            Self::Inspect => "inspect",
            Self::Trim => "trim",
            Self::RemoveGroup => "remove_group",
            Self::Clear => "clear",
            Self::Health => "health",
            Self::Close => "close",
        }
    }

    /// Whether it changes nothing, so that whatever became of it may be asked again.
    pub fn is_read(self) -> bool {
        is_read(self.as_str())
    }

    /// Whether a call of it that got no answer leaves nothing changed for good. What a claim took comes again by
    /// itself.
    pub fn applies_nothing(self) -> bool {
        self.is_read() || matches!(self, Self::Claim)
    }

    /// Whether what it answers with lives on: it hears until it is dropped, or until its handle ends.
    pub const fn listens(self) -> bool {
        matches!(self, Self::Watch | Self::Subscribe)
    }
}

/// Whether an operation that an error names changes nothing: of a driver, or of an adapter that connects.
pub(crate) fn is_read(operation: &str) -> bool {
    matches!(operation, "connect" | "get" | "health" | "inspect" | "scan" | "subscribe" | "watch")
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
