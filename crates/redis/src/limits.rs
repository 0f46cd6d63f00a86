//! Login throttling in Redis. The arithmetic of `guard` is repeated in `scripts/_limits.lua`: several budgets are
//! charged in one step, and the server's clock decides.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    answer,
    call::{Call, LuaScript},
    connection::Connection,
    keys::Keys,
    record::millis,
    scripts,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_login::guard::{
    AttemptId, Charge, Checked, Decision, Entity, LoginThrottleRepository,
};

/// States removed by one script call.
const BATCH: u32 = 500;

/// Login throttling in Redis.
#[derive(Clone, Debug)]
pub struct RedisLimits {
    connection: Connection,
    keys: Keys,
}

impl RedisLimits {
    pub(super) const fn new(connection: Connection, keys: Keys) -> Self {
        Self { connection, keys }
    }

    /// Creates a call of a script on these entities and an attempt: their keys, and after the time the name and the
    /// budget of each.
    fn on(&self, script: &'static LuaScript, charges: &[Charge], attempt: AttemptId) -> Call {
        let mut keys = vec![self.keys.limits_due()];
        keys.extend(charges.iter().map(|it| self.key(it.entity)));
        keys.push(self.keys.attempt(attempt));
        let call = Call::script(script, keys).arg(self.connection.now());
        let call = charges.iter().fold(call, |call, charge| {
            let Charge { entity, budget } = charge;
            call.arg(entity.to_string())
                .arg(budget.attempts)
                .arg(millis(budget.refill).max(1))
                .arg(millis(budget.lock))
                .arg(millis(budget.longest_lock))
                .arg(millis(budget.forget))
                .arg(u8::from(entity.is_person()))
        });
        call.arg(millis(AttemptId::KEPT))
    }

    fn key(&self, entity: Entity) -> String {
        self.keys.limit(&entity.to_string())
    }
}

#[async_trait]
impl LoginThrottleRepository for RedisLimits {
    async fn reserve(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
    ) -> Result<Decision, StoreError> {
        let reserve = self.on(&scripts::RESERVE, charges, attempt);
        let answer = self
            .connection
            .in_time(self.connection.call(reserve))
            .await?;
        let (result, at, number): (u8, usize, u64) = answer::read(answer)?;
        let entity = charges.get(at).map(|it| it.entity);
        match (result, entity) {
            (0, _) => Ok(Decision::Go),
            (1, Some(entity)) => Ok(Decision::Busy(entity)),
            (2, Some(entity)) => Ok(Decision::Locked {
                entity,
                retry_after: Duration::from_millis(number),
            }),
            _ => Err(StoreError::Corrupt("a script returned an unknown result")),
        }
    }

    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError> {
        let outcome = match checked {
            Checked::Right => "right",
            Checked::Wrong => "wrong",
            Checked::NotChecked => "unchecked",
        };
        let settle = self.on(&scripts::SETTLE, charges, attempt).arg(outcome);
        self.connection
            .in_time(self.connection.call(settle))
            .await?;
        Ok(())
    }

    async fn clear(&self, entity: Entity) -> Result<bool, StoreError> {
        let keys = vec![self.keys.limits_due(), self.key(entity)];
        let clear = Call::script(&scripts::CLEAR, keys)
            .arg(self.connection.now())
            .arg(entity.to_string());
        answer::read(self.connection.in_time(self.connection.call(clear)).await?)
    }

    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError> {
        let due = self.keys.limits_due();
        self.connection
            .in_time(async {
                let mut forgotten = 0;
                let mut left = limit;
                while left > 0 {
                    let most = left.min(BATCH);
                    let stale = Call::script(&scripts::STALE_LIMITS, vec![due.clone()])
                        .arg(self.connection.now())
                        .arg(most)
                        .arg(millis(horizon));
                    let stale: Vec<String> = answer::read(self.connection.call(stale).await?)?;
                    if stale.is_empty() {
                        break;
                    }
                    let mut keys = vec![due.clone()];
                    keys.extend(stale.iter().map(|entity| self.keys.limit(entity)));
                    let prune = Call::script(&scripts::PRUNE, keys)
                        .arg(self.connection.now())
                        .arg(&stale);
                    forgotten += answer::read::<u64>(self.connection.call(prune).await?)?;
                    left -= most;
                }
                Ok(forgotten)
            })
            .await
    }
}
