//! The group coordinator: stories as text tables (`testdata/groups`), and seeded churn.

mod bench;
mod bounds;
mod churn;
mod clients;
mod print;
mod stories;
