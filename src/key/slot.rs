//! Cluster slots.

/// The number of slots of a cluster.
const SLOTS: u16 = 16384;

/// The cluster slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole key where it has none,
/// modulo 16384.
///
/// The hash tag is what stands between the first `{` and the next `}`, unless that is empty. Source:
/// the [Redis cluster specification](https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/).
///
/// ```
/// use auth_adapter_redis::key::slot;
///
/// assert_eq!(slot(b"user:{42}"), slot(b"session:{42}:abc:active"));
/// assert_eq!(slot(b"123456789"), 0x31c3);
/// ```
pub fn slot(key: &[u8]) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(hash_tag(key)) % SLOTS
}

/// Whether a part of the key alone decides its slot.
pub(super) fn has_tag(key: &[u8]) -> bool {
    hash_tag(key).len() < key.len()
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else {
        return key;
    };
    let tail = &key[open + 1..];
    match tail.iter().position(|&b| b == b'}') {
        None | Some(0) => key,
        Some(close) => &tail[..close],
    }
}
