//! The reference model of a session store, without indexes, triggers or a cache.

use skriptoteket::{
    accounts::{Role, UserId},
    clock::Timestamp,
    sessions::{Census, EndReason, Ended, NewSession, SessionId, SessionRecord, Totals},
};

/// The maximum number of sessions of a user.
pub(super) const MAX_PER_USER: u32 = 4;

/// All sessions, and the totals.
#[derive(Default)]
pub(super) struct Model {
    /// In the order in which they were started.
    pub(super) sessions: Vec<SessionRecord>,
    pub(super) totals: Totals,
}

impl Model {
    pub(super) fn live(&mut self, id: &SessionId, now: Timestamp) -> Option<&mut SessionRecord> {
        self.sessions
            .iter_mut()
            .find(|it| it.id == *id && it.expires_at > now)
    }

    pub(super) fn live_of(
        &self,
        user: UserId,
        now: Timestamp,
    ) -> impl Iterator<Item = &SessionRecord> {
        self.sessions
            .iter()
            .filter(move |it| it.user_id == user && it.expires_at > now)
    }

    pub(super) fn set_role(&mut self, user: UserId, role: Role, now: Timestamp) -> u64 {
        let mut moved = 0;
        for session in &mut self.sessions {
            let live = session.user_id == user && session.expires_at > now;
            if live && session.role != role {
                self.totals.ended[session.role.index()][EndReason::RoleChanged.index()] += 1;
                self.totals.started[role.index()] += 1;
                session.role = role;
                session.key_role = session.key_role.min(role);
                moved += 1;
            }
        }
        moved
    }

    pub(super) fn create(
        &mut self,
        new: NewSession,
        now: Timestamp,
    ) -> (SessionRecord, Vec<Ended>) {
        let ends_at = now.plus(new.lifetime);
        let record = SessionRecord {
            id: new.id,
            user_id: new.user_id,
            username: new.username,
            role: new.role,
            key_role: new.role,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(new.idle).min(ends_at),
            ends_at,
            idle: new.idle,
            user_agent: new.user_agent,
            network: new.network,
            state: new.state,
        };
        self.set_role(record.user_id, record.role, now);
        self.sessions.push(record.clone());
        self.totals.started[record.role.index()] += 1;
        let live: Vec<SessionId> = self
            .live_of(record.user_id, now)
            .map(|it| it.id.clone())
            .collect();
        let too_many = live.len().saturating_sub(MAX_PER_USER as usize);
        let evicted = live[..too_many]
            .iter()
            .filter_map(|id| self.end(id, EndReason::Evicted, now))
            .collect();
        (record, evicted)
    }

    pub(super) fn end(
        &mut self,
        id: &SessionId,
        reason: EndReason,
        now: Timestamp,
    ) -> Option<Ended> {
        let at = self.sessions.iter().position(|it| it.id == *id)?;
        let session = self.sessions.remove(at);
        let (reason, ended_at) = if session.expires_at > now {
            (reason, now)
        } else if session.expires_at == session.ends_at {
            (EndReason::Absolute, session.expires_at)
        } else {
            (EndReason::Idle, session.expires_at)
        };
        self.totals.ended[session.role.index()][reason.index()] += 1;
        Some(Ended {
            id: session.id,
            user_id: session.user_id,
            role: session.role,
            reason,
            lasted: ended_at.since(session.created_at),
        })
    }

    pub(super) fn census(&self, now: Timestamp) -> Census {
        let mut census = Census {
            totals: self.totals,
            ..Census::default()
        };
        let mut seen = Vec::new();
        for session in &self.sessions {
            let role = session.role.index();
            if session.expires_at <= now {
                census.expired[role] += 1;
                continue;
            }
            census.sessions[role] += 1;
            if !seen.contains(&session.user_id) {
                seen.push(session.user_id);
                census.users[role] += 1;
            }
        }
        census
    }
}
