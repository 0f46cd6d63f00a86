//! Rate limits of services in Redis. The arithmetic of `services::quota` is repeated in `scripts/quota.lua`: one script
//! call per request, and the server's clock decides.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{answer, call::Call, connection::Connection, keys::Keys, scripts};
use skriptoteket_core::error::StoreError;
use skriptoteket_services::{LimitPolicy, LimitType, QuotaDecision, RateLimitRepository};

/// Rate limits of services in Redis.
#[derive(Clone, Debug)]
pub struct RedisQuotas {
    connection: Connection,
    keys: Keys,
}

impl RedisQuotas {
    pub(super) const fn new(connection: Connection, keys: Keys) -> Self {
        Self { connection, keys }
    }
}

#[async_trait]
impl RateLimitRepository for RedisQuotas {
    async fn charge(
        &self,
        registration: Uuid,
        policy: &LimitPolicy,
    ) -> Result<QuotaDecision, StoreError> {
        let quota = policy.daily_quota;
        let charge = Call::script(&scripts::QUOTA, vec![self.keys.quota(registration)])
            .arg(self.connection.now())
            .arg(policy.interval_us())
            .arg(policy.tolerance_us())
            .arg(quota.map_or(-1, |it| i64::try_from(it).unwrap_or(i64::MAX)));
        let answer = self
            .connection
            .in_time(self.connection.call(charge))
            .await?;
        let (refused, wait, ahead, used, resets): (u8, u64, i64, u64, u64) = answer::read(answer)?;
        let limit = match refused {
            0 => None,
            1 => Some(LimitType::Requests),
            _ => Some(LimitType::DailyQuota),
        };
        Ok(QuotaDecision {
            refused: limit.map(|it| (it, Duration::from_micros(wait))),
            allowance: policy.allowance(ahead, used, Duration::from_millis(resets)),
        })
    }

    async fn forget(&self, registration: Uuid) -> Result<(), StoreError> {
        let forget = Call::command("DEL", vec![self.keys.quota(registration)]);
        self.connection
            .in_time(self.connection.call(forget))
            .await?;
        Ok(())
    }
}
