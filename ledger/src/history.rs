//! Invents realistic histories from a seed: tenants, lifecycles, renewals, revocations, offboarding, odd messages, gaps.
