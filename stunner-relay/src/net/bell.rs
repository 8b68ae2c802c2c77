//! How tasks of one thread wake another that runs behind them: without a lock, which a channel would have.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
};

/// Rung by many, heard by one.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Cell<bool>,
    listener: RefCell<Option<Waker>>,
}

impl Bell {
    /// Wakes who listens. Until that one runs, ringing again does nothing.
    pub(super) fn ring(&self) {
        if !self.rung.replace(true)
            && let Some(waker) = &*self.listener.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Waits until it was rung since the last time.
    pub(super) async fn rung(&self) {
        poll_fn(|context| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            let mut listener = self.listener.borrow_mut();
            match &mut *listener {
                Some(waker) => waker.clone_from(context.waker()),
                None => *listener = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn who_listens_runs_behind_everybody_who_rang_and_once() {
        let bell = std::rc::Rc::new(Bell::default());
        let log = std::rc::Rc::new(RefCell::new(Vec::new()));
        let local = tokio::task::LocalSet::new();
        let (listened, heard) = (bell.clone(), log.clone());
        local.spawn_local(async move {
            loop {
                listened.rung().await;
                heard.borrow_mut().push("heard");
            }
        });
        local.run_until(tokio::task::yield_now()).await;
        for name in ["first", "second"] {
            let (bell, log) = (bell.clone(), log.clone());
            local.spawn_local(async move {
                bell.ring();
                log.borrow_mut().push(name);
            });
        }

        local
            .run_until(async {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            })
            .await;

        assert_eq!(*log.borrow(), ["first", "second", "heard"]);
    }
}
