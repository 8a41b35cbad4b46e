//! The contract of linchpin as a test suite that any adapter can run
