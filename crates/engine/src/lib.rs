//! How one run goes: plan, read, shape, write, commit
