//! The namespaces of this process that handles share by name.

use crate::config::MemoryConfig;
use crate::space::Space;
use dashmap::DashMap;
use linchpin_core::Namespace;
use std::sync::{Arc, LazyLock, Weak};

/// What handles share a namespace by: the URL's name and the namespace.
pub(crate) type SharedName = (String, Namespace);

static SPACES: LazyLock<DashMap<SharedName, Weak<Space>>> = LazyLock::new(DashMap::new);

/// The namespace that the configuration names: the one that is open under its name, or a new one.
pub(crate) fn open(config: &MemoryConfig) -> Arc<Space> {
    let Some(name) = &config.name else { return Arc::new(Space::new(None)) };
    let shared = (name.clone(), config.namespace.clone());
    let mut slot = SPACES.entry(shared.clone()).or_default();
    if let Some(space) = slot.upgrade() {
        return space;
    }
    let space = Arc::new(Space::new(Some(shared)));
    *slot = Arc::downgrade(&space);
    space
}

/// Forgets a namespace that is gone, unless another was opened under its name meanwhile.
pub(crate) fn forget(shared: &SharedName) {
    SPACES.remove_if(shared, |_, space| space.strong_count() == 0);
}
