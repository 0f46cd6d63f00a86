//! The slots of a Cluster and the nodes that own them.

use redis::Value;

use crate::RedisAddress;

/// The number of slots of every Cluster.
const SLOTS: u16 = 16_384;

/// The slot of a key: CRC16 (XMODEM) of its hash tag, or of the whole key if it has none.
pub(super) fn slot_of(key: &str) -> u16 {
    crc16(hash_tag(key).as_bytes()) % SLOTS
}

fn hash_tag(key: &str) -> &str {
    key.split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ CRC16[usize::from((crc >> 8) ^ u16::from(*byte)) & 0xff]
    })
}

static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut value: u16 = 0;
    while value < 256 {
        let mut crc = value << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ (if crc & 0x8000 == 0 { 0 } else { 0x1021 });
            bit += 1;
        }
        table[value as usize] = crc;
        value += 1;
    }
    table
};

/// The owners of the slots, as reported by a node.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotMap {
    /// First slot, last slot, owner; sorted.
    ranges: Vec<(u16, u16, RedisAddress)>,
    /// Changes from redirections since then, latest first; there are few until the map is read again.
    moved: Vec<(u16, RedisAddress)>,
}

impl SlotMap {
    /// Reads the reply to `CLUSTER SLOTS`. `asked` is used if a node omits its own name.
    pub(super) fn read(answer: &Value, asked: &RedisAddress) -> Option<Self> {
        let Value::Array(rows) = answer else {
            return None;
        };
        let mut ranges: Vec<_> = rows
            .iter()
            .map(|row| range(row, asked))
            .collect::<Option<_>>()?;
        ranges.sort_unstable_by_key(|(first, _, _)| *first);
        Some(Self {
            ranges,
            moved: Vec::new(),
        })
    }

    /// The owner of a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&RedisAddress> {
        if let Some((_, owner)) = self.moved.iter().find(|(moved, _)| *moved == slot) {
            return Some(owner);
        }
        let after = self.ranges.partition_point(|(first, _, _)| *first <= slot);
        let (_, last, owner) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(owner)
    }

    /// Records that a slot has another owner.
    pub(super) fn moved(&mut self, slot: u16, owner: RedisAddress) {
        self.moved.retain(|(moved, _)| *moved != slot);
        self.moved.push((slot, owner));
    }

    /// All nodes that own a slot, without duplicates.
    pub(super) fn owners(&self) -> Vec<&RedisAddress> {
        let mut owners: Vec<&RedisAddress> = Vec::new();
        let all = self.ranges.iter().map(|(_, _, owner)| owner);
        for owner in all.chain(self.moved.iter().map(|(_, owner)| owner)) {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        owners
    }
}

fn range(row: &Value, asked: &RedisAddress) -> Option<(u16, u16, RedisAddress)> {
    let Value::Array(fields) = row else {
        return None;
    };
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = fields.as_slice()
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    let owner = RedisAddress {
        host: if host.is_empty() {
            asked.host.clone()
        } else {
            host
        },
        port: u16::try_from(*port).ok()?,
    };
    Some((
        u16::try_from(*first).ok()?,
        u16::try_from(*last).ok()?,
        owner,
    ))
}

/// The target of a redirection: `SLOT HOST:PORT` of `MOVED` and `ASK`. The host is empty if it is the host of the node.
pub(super) fn redirection(details: &str, asked: &RedisAddress) -> Option<(u16, RedisAddress)> {
    let (slot, address) = details.split_once(' ')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = if host.is_empty() { &asked.host } else { host };
    Some((
        slot.parse().ok()?,
        RedisAddress {
            host: host.to_owned(),
            port: port.parse().ok()?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> RedisAddress {
        RedisAddress {
            host: "127.0.0.1".into(),
            port,
        }
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("{foo}:bar"), slot_of("foo"));
        assert_eq!(slot_of("a{}b{foo}"), crc16(b"a{}b{foo}") % SLOTS);
    }

    #[test]
    fn a_slot_belongs_to_who_said_so_last() {
        let row = |first, last, port| {
            let master = Value::Array(vec![Value::Nil, Value::Int(port)]);
            Value::Array(vec![Value::Int(first), Value::Int(last), master])
        };
        let answer = Value::Array(vec![row(8_000, 16_383, 2), row(0, 7_000, 1)]);
        let mut map = SlotMap::read(&answer, &at(9)).unwrap();
        assert_eq!(map.owner(0), Some(&at(1)));
        assert_eq!(map.owner(7_000), Some(&at(1)));
        assert_eq!(map.owner(7_001), None);
        assert_eq!(map.owner(16_383), Some(&at(2)));
        map.moved(5, at(3));
        map.moved(5, at(4));
        assert_eq!(map.owner(5), Some(&at(4)));
        assert_eq!(map.owners(), [&at(1), &at(2), &at(4)]);
    }

    #[test]
    fn a_redirection_may_leave_the_host_out() {
        assert_eq!(redirection("5 :7", &at(1)), Some((5, at(7))));
        assert_eq!(
            redirection("5 ::1:7", &at(1)).unwrap().1.to_string(),
            "[::1]:7"
        );
        assert_eq!(redirection("x", &at(1)), None);
    }
}
