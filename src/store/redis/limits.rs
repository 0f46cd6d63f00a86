//! Budgets of guesses in Redis. The arithmetic is `guard`'s, said once more in `scripts/_limits.lua`: two budgets are
//! charged in one step, and the server's clock decides.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    answer,
    call::{Call, LuaScript},
    keys::Keys,
    link::Link,
    record::millis,
    scripts,
};
use crate::{
    error::StoreError,
    guard::{Budget, Checked, Decision, Entity, GuardPolicy, LimitRepository},
};

/// States that one script forgets.
const BATCH: u32 = 500;

/// Budgets of guesses in Redis.
#[derive(Clone, Debug)]
pub(in crate::store) struct RedisLimits {
    link: Link,
    keys: Keys,
}

impl RedisLimits {
    pub(super) const fn new(link: Link, keys: Keys) -> Self {
        Self { link, keys }
    }

    /// A script on two entities and their budgets.
    fn on_both(
        &self,
        script: &'static LuaScript,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
    ) -> Call {
        let (address, account) = (address.to_string(), account.to_string());
        let keys = vec![
            self.keys.limit(&address),
            self.keys.limit(&account),
            self.keys.limits_due(),
        ];
        let call = Call::script(script, keys)
            .arg(self.link.now())
            .arg(address)
            .arg(account);
        with_budget(with_budget(call, &policy.address), &policy.account)
    }
}

fn with_budget(call: Call, budget: &Budget) -> Call {
    call.arg(budget.attempts)
        .arg(millis(budget.regain).max(1))
        .arg(millis(budget.lock))
        .arg(millis(budget.longest_lock))
        .arg(millis(budget.forget))
}

#[async_trait]
impl LimitRepository for RedisLimits {
    async fn charge(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
    ) -> Result<Decision, StoreError> {
        let charge = self.on_both(&scripts::CHARGE, address, account, policy);
        let answer = self.link.in_time(self.link.call(charge)).await?;
        let (verdict, wait): (u8, u64) = answer::read(answer)?;
        let retry_after = Duration::from_millis(wait);
        Ok(match verdict {
            0 => Decision::Go,
            1 => Decision::AddressLimited { retry_after },
            _ => Decision::AccountLocked { retry_after },
        })
    }

    async fn give_back(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
        checked: Checked,
    ) -> Result<(), StoreError> {
        let give_back = self
            .on_both(&scripts::GIVE_BACK, address, account, policy)
            .arg(u8::from(checked == Checked::Right));
        self.link.in_time(self.link.call(give_back)).await?;
        Ok(())
    }

    async fn prune(&self, limit: u32) -> Result<u64, StoreError> {
        let due = self.keys.limits_due();
        self.link
            .in_time(async {
                let mut forgotten = 0;
                let mut left = limit;
                while left > 0 {
                    let most = left.min(BATCH);
                    let stale = Call::script(&scripts::STALE_LIMITS, vec![due.clone()])
                        .arg(self.link.now())
                        .arg(most);
                    let stale: Vec<String> = answer::read(self.link.call(stale).await?)?;
                    if stale.is_empty() {
                        break;
                    }
                    let mut keys = vec![due.clone()];
                    keys.extend(stale.iter().map(|entity| self.keys.limit(entity)));
                    let prune = Call::script(&scripts::PRUNE, keys)
                        .arg(self.link.now())
                        .arg(&stale);
                    forgotten += answer::read::<u64>(self.link.call(prune).await?)?;
                    left -= most;
                }
                Ok(forgotten)
            })
            .await
    }
}
