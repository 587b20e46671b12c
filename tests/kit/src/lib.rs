//! Fakes and fixtures that the suites against real peers share.
