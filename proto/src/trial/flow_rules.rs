//! The raw flow rules of a policy, one by one.
