//! Bytes that cross from one site to another, for each byte that is produced. Leaders are even over
//! the replicas; nothing is said of compression and of the protocol's own bytes.

/// Bytes of replicas: a leader at a site with c of r replicas sends each byte to r - c others.
pub fn crossing_bytes(at_sites: &[u32]) -> f64 {
    let all: u32 = at_sites.iter().sum();
    shares(at_sites)
        .iter()
        .zip(at_sites)
        .map(|(share, &here)| share * f64::from(all - here))
        .sum()
}

/// The share that each site has of a whole.
pub fn shares(at_sites: &[u32]) -> Vec<f64> {
    let all: u32 = at_sites.iter().sum();
    let all = f64::from(all.max(1));
    at_sites.iter().map(|&here| f64::from(here) / all).collect()
}

/// The share of the work that one side at a site has to do with the other side at another site:
/// clients with leaders, or with the replicas that are closest to them.
pub fn away(clients: &[f64], served: &[f64]) -> f64 {
    let clients = clients.iter().zip(served);
    clients.map(|(&share, &here)| share * (1.0 - here)).sum()
}
