//! What scripts mean, and what is refused.
