//! The group coordinator: stories as text tables (`testdata/groups`), and seeded churn.

mod bench;
mod bounds;
mod churn;
mod clients;
mod line;
mod print;
mod random;
mod seen;
mod stories;
