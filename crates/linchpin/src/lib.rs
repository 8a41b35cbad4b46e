//! Distributed coordination - locks, elections, messages, state, streams - over the infrastructure you already run
