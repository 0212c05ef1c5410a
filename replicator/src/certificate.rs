//! When the certificate that we show to a cluster ends. Read from its file for each look, since it
//! may have been replaced.

use std::path::Path;

use x509_parser::pem::Pem;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Certificates are a few KiB; a larger file is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Whole days until the first certificate of the file ends, negative when it has; `None` if the file
/// cannot be read as one, which the connections to the cluster tell.
pub(crate) fn days_left(path: &Path, now_ms: i64) -> Option<i64> {
    if std::fs::metadata(path).ok()?.len() > FILE_BYTES_MAX {
        return None;
    }
    let text = std::fs::read(path).ok()?;
    let mut blocks = Pem::iter_from_buffer(&text).filter_map(Result::ok);
    let first = blocks.find(|block| block.label == "CERTIFICATE")?;
    let certificate = first.parse_x509().ok()?;
    let ends = certificate.validity().not_after.timestamp();
    Some((ends - now_ms.div_euclid(1_000)).div_euclid(DAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_certificate_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let text = format!("{}{}", key.serialize_pem(), certificate.pem());
        std::fs::write(&path, text).unwrap();
        // 2030-01-01T00:00:00Z, and a second after the end.
        assert_eq!(days_left(&path, 1_893_456_000_000), Some(2));
        assert_eq!(days_left(&path, 1_893_628_801_000), Some(-1));
        std::fs::write(&path, "nothing").unwrap();
        assert_eq!(days_left(&path, 0), None);
        assert_eq!(days_left(&dir.path().join("none"), 0), None);
    }
}
